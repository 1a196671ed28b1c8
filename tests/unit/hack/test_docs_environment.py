"""The site's tool is pinned, and nobody but the site pays for it."""

from __future__ import annotations

import re
import tomllib

import pytest

from docsite.navigation import ROOT
from requirements import requirements

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(extra: str) -> set[str]:
    """The distributions of an extra, by the names that pip compares."""
    return {normal(re.split(r"[<>=\[]", one)[0]) for one in requirements(PROJECT, [extra])}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_the_site_needs_is_pinned() -> None:
    pins = {normal(line.split("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]}
    assert names("docs") <= pins


@pytest.mark.parametrize("extra", ["operator", "trainer", "dev"])
def test_nobody_else_pays_for_it(extra: str) -> None:
    assert not names(extra) & {"sphinx", "furo", "myst-parser"}


def test_ci_builds_the_site_and_a_warning_is_an_error() -> None:
    assert "make docs" in (ROOT / ".ci" / "run").read_text().splitlines()
    [build] = [line for line in (ROOT / "hack" / "docs").read_text().splitlines() if "sphinx-build" in line]
    assert " -W " in build
    assert "docsite.offline build/site" in (ROOT / "hack" / "docs").read_text()
