"""`llmtrain.Client` on this machine: the notebook of the examples, cell by cell."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness.children import PYTHONPATH, ROOT

NOTEBOOK = ROOT / "examples" / "sdk.ipynb"
pytestmark = pytest.mark.timeout(600)


def cells() -> list[str]:
    """The code of the notebook."""
    found = json.loads(NOTEBOOK.read_text())["cells"]
    return [cell["source"] for cell in found if cell["cell_type"] == "code"]


def test_the_notebook_trains_stops_goes_on_and_reads_the_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    names: dict[str, Any] = {}
    *work, last = cells()
    try:
        for number, source in enumerate(work):
            exec(compile(source, f"{NOTEBOOK.name}, code cell {number}", "exec"), names)
        steps = [row["step"] for row in names["rows"]]
        assert steps == list(range(1, 601)), "each step once, over both attempts"
        assert {row["attempt"] for row in names["rows"]} == {0, 1}
        assert 50 <= names["saved"] < 600
        assert names["rows"][-1]["loss"] < names["rows"][0]["loss"]
        assert names["job"].status.results.steps == 600
        told = capsys.readouterr().out
        assert "Normal Started attempt 1 begins from step" in told
        exec(compile(last, f"{NOTEBOOK.name}, last cell", "exec"), names)
        assert names["client"].list_jobs() == []
        assert (tmp_path / "runs" / "checkpoints" / "notebook" / "export").is_dir(), "its output stays"
        assert os.listdir(tmp_path / "runs" / ".llmtrain") == []
    finally:
        if "client" in names:
            for job in names["client"].list_jobs():
                names["client"].delete_job(job.metadata.name)
