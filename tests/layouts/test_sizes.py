"""Nothing is read or held twice: a model that is large beside what a rank may hold beyond its engine.

`make sizes` does the same with 1 GB and every layout, and with large files of text.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from harness.sizes.large import LAYOUTS, faults, measured, prepared

SIZE = "170 MB"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    root = tmp_path_factory.mktemp("sizes")
    return root / "model", prepared(root / "model", SIZE, root / "work")


@pytest.mark.parametrize("name", ["zero 2", "zero 3", "tensor"])
def test_a_rank_reads_and_holds_its_part_once(name: str, model: tuple[Path, float], tmp_path: Path) -> None:
    folder, loss = model
    for told in measured(folder, LAYOUTS[name], tmp_path):
        assert not faults(told, loss), told
