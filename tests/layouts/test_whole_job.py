"""Jobs of every kind from data to export, with a batch that does not divide.

The export compares itself: a folder that computes another loss than the trained engine is no success.
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.layouts.forked_gang import fork_each
from harness.layouts.whole import run, small_job
from safetensors.torch import load_file, save_file

from llmtrain_api import JobFile, task_of
from llmtrain_trainer.errors import ExportMismatch
from llmtrain_trainer.export.export import export
from llmtrain_trainer.models.build import DTYPES, load
from llmtrain_trainer.models.source import Source

pytestmark = pytest.mark.timeout(300)
BERT, T5 = (
    {"name": "builtin://tiny-bert", "numKvHeads": None},
    {"name": "builtin://tiny-t5", "numKvHeads": None},
)
JOBS: dict[str, dict[str, Any]] = {
    "zero 3, tied": {"model": {"tiedEmbeddings": True}, "training": {"zeroStage": 3}},
    "zero 2, documents": {"training": {"zeroStage": 2, "packing": "documents"}},
    "tensor, tied": {"model": {"tiedEmbeddings": True}, "parallelism": {"tensor": 2}},
    "tensor, zero 3, Qwen": {
        "model": {"name": "builtin://tiny-qwen"},
        "parallelism": {"tensor": 2},
        "training": {"zeroStage": 3},
    },
    "pipeline, tied, bf16": {
        "model": {"tiedEmbeddings": True},
        "parallelism": {"pipeline": 2},
        "training": {"precision": "bf16"},
    },
    "pipeline x data, documents": {
        "processesPerNode": 4,
        "parallelism": {"pipeline": 2},
        "training": {"packing": "documents"},
    },
    "sequence": {"parallelism": {"sequence": 2}},
    "one rank": {"processesPerNode": 1},
    "BERT": {"model": BERT},
    "T5, checkpointing": {"model": T5, "training": {"activationCheckpointing": True}},
    "selective, chunked logits": {
        "training": {"activationCheckpointingMode": "selective", "chunkedLogits": True, "zeroStage": 2}
    },
}


def test_compiling_is_told_and_timed_and_nothing_cuts_the_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tensor parallelism has collectives in its layers. One piece of code, forward and backward, for both."""
    changes: dict[str, Any] = {"parallelism": {"tensor": 2}, "training": {"compile": True}}
    output = run(small_job(tmp_path, **changes), tmp_path).output
    said = capfd.readouterr().out
    assert said.index("engine built") < said.index("compiling the layers") < said.index("layers compiled")
    assert re.search(r"layers compiled\s+compilations=2 seconds=\d", said), said
    assert "compiled too often" not in said
    rows = (output.logs(0) / "metrics.jsonl").read_text().splitlines()
    first, second = (json.loads(line) for line in rows[:2])
    assert first["phases"]["compile"] > first["seconds"]  # the step's own time is without it
    assert second["phases"].get("compile", 0) == 0


@pytest.mark.parametrize("name", JOBS)
def test_it_trains_and_its_export_computes_what_was_trained(name: str, tmp_path: Path) -> None:
    asked = small_job(tmp_path, **JOBS[name])
    output = run(asked, tmp_path).output
    results = json.loads(output.results.read_text())
    assert results["steps"] == 12
    trained = json.loads(output.evaluation.read_text())
    assert trained["tokens"] > 0
    tolerance = 1e-2 if asked.spec.training.precision == "bf16" else 1e-5
    assert results["evalLoss"] == pytest.approx(trained["loss"], rel=tolerance)
    assert output.committed() == [12, 10]
    assert not (output.step(10) / "weights").exists()
    assert fork_each(1, partial(plainly, output.export, asked, tmp_path / "plain"), tmp_path / "log") is None


def plainly(export: Path, asked: JobFile, again: Path, _rank: int) -> None:
    """Open what was exported with transformers alone, and write it once more: the same names and numbers."""
    model = load(export, task_of(asked.spec, asked.shape), DTYPES[asked.spec.training.precision])
    model.save_pretrained(again)
    ours, theirs = Source(export), Source(again)
    assert ours.names() == theirs.names()
    assert all(torch.equal(ours.read(name), theirs.read(name)) for name in ours.names())
    for file in ("config.json", "generation_config.json"):
        if (again / file).exists():
            assert json.loads((export / file).read_text()) == json.loads((again / file).read_text())


def test_an_export_is_no_second_copy_and_refuses_what_was_not_trained(tmp_path: Path) -> None:
    asked = small_job(tmp_path, **JOBS["one rank"])
    begun = run(asked, tmp_path)
    [weights] = (begun.output.step(12) / "weights").glob("*.safetensors")
    assert weights.stat().st_ino == (begun.output.export / "model.safetensors").stat().st_ino
    state, said = load_file(weights), tmp_path / "said"

    def refused_with(changed: dict[str, torch.Tensor]) -> str:
        weights.unlink()
        save_file(changed, weights, metadata={"format": "pt"})
        index = json.dumps({"weight_map": dict.fromkeys(changed, weights.name)})
        (weights.parent / "model.safetensors.index.json").write_text(index)
        assert fork_each(1, lambda _: said.write_text(refusal()), tmp_path / "export") is None
        return said.read_text()

    def refusal() -> str:
        try:
            export(asked, begun)
        except ExportMismatch as error:
            return str(error)
        return ""

    other = state | {"lm_head.weight": state["lm_head.weight"].flip(0).contiguous()}
    assert "is not the trained engine's" in refused_with(other)
    less = {name: value for name, value in state.items() if name != "model.norm.weight"}
    assert "not those of the model: model.norm.weight (missing)" in refused_with(less)
    wide = state | {"model.norm.weight": torch.ones(7)}
    assert "not those of the model: model.norm.weight ([7])" in refused_with(wide)
    assert refused_with(state) == ""
