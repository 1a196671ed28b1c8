"""What a package imports is in the list its image is installed from, not only on the machine that tests."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from requirements import requirements

ROOT = Path(__file__).parents[3]
OWN = {"llmtrain", "llmtrain_api", "llmtrain_operator", "llmtrain_trainer"}
CHOSEN = {"evaluate", "lm_eval", "mlflow", "trackio", "wandb"}
"""Trackers, which a user's image brings: where it is not there, a job is told what to install."""

PART = {"httpx2": "huggingface_hub", "pydantic_core": "pydantic", "urllib3": "kubernetes"}
"""Never installed without the other, which is made on it."""


@pytest.mark.parametrize(
    ("folders", "extra"),
    [
        (("crds/llmtrain_api", "trainer_image/llmtrain_trainer"), "trainer"),
        (("crds/llmtrain_api", "operator"), "operator"),
    ],
)
def test_each_imported_library_is_required_by_name(folders: tuple[str, ...], extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {normal(re.split(r"[^\w.-]", line)[0]) for line in requirements(project, [extra])}
    distributions = packages_distributions()
    missing = {
        f"{name} (of {'/'.join(sorted(distributions.get(name, [])))}) in {path.relative_to(ROOT)}"
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in (PART.get(name, name) for name in imported(path))
        if not required & {normal(own) for own in distributions.get(name, [])}
    }
    assert sorted(missing) == []


def normal(distribution: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def imported(path: Path) -> Iterator[str]:
    """Top-level modules that a file imports anywhere, without the standard library's, ours, and trackers'."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        else:
            continue
        for name in {name.split(".")[0] for name in names}:
            if name not in sys.stdlib_module_names and name not in OWN | CHOSEN:
                yield name
