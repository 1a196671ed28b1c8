"""Whole jobs that train adapters: what they save, what they export, and what becomes of their base."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.layouts.forked_gang import fork_each
from harness.layouts.whole import run, small_job
from safetensors.torch import load_file

from llmtrain_api import JobFile, Task, task_of
from llmtrain_api.estimate.adapters import adapter_tensors
from llmtrain_api.families import numbers_of
from llmtrain_trainer.data.store import INITIAL, read_marker
from llmtrain_trainer.evaluate.generate import open_folder
from llmtrain_trainer.export.adapter import FILE, open_adapter
from llmtrain_trainer.files import differing
from llmtrain_trainer.models.build import load
from llmtrain_trainer.output import Output

pytestmark = pytest.mark.timeout(300)
ADAPTER = {"rank": 32, "alpha": 48}
LLAMA = {"hiddenSize": 96, "numLayers": 3, "adapter": ADAPTER}
JOBS: dict[str, dict[str, Any]] = {
    "llama": {"model": LLAMA, "training": {"learningRate": 1e-2}},
    "llama again": {"model": LLAMA, "training": {"learningRate": 3e-2, "zeroStage": 2}},
    "gpt2": {
        "model": {"name": "builtin://tiny-gpt2", "numKvHeads": None, "adapter": {"rank": 8, "alpha": 12}},
        "training": {"zeroStage": 3, "learningRate": 1e-2},
    },
    "alone": {
        "model": {"name": "builtin://tiny-t5", "numKvHeads": None, "adapter": {"rank": 8}},
        "training": {"learningRate": 1e-2},
        "output": {"merged": False},
        "processesPerNode": 1,
    },
}
Finished = tuple[JobFile, Output]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Finished]:
    """Each with an output of its own."""
    found = {}
    for name, changes in JOBS.items():
        root = tmp_path_factory.mktemp(name.replace(" ", "-"))
        asked = small_job(root, **changes)
        found[name] = asked, run(asked, root).output
    return found


def logits(base: Path, task: Task, export: Path | None, merged: bool, into: Path) -> torch.Tensor:
    """Of a base, of a base with an adapter, or of a merged model; computed in a process of its own."""

    def compute(_rank: int) -> None:
        if merged:
            assert export is not None
            model, _ = open_folder(export, task, torch.float32)
        else:
            model = load(base, task, torch.float32).eval()
            model = model if export is None else open_adapter(model, export)
        ids = torch.arange(40, 60)[None]
        more = {"decoder_input_ids": ids} if task is Task.SEQ2SEQ else {}
        with torch.no_grad():
            torch.save(model(input_ids=ids, **more).logits, into / "logits.pt")

    assert (error := fork_each(1, compute, into)) is None, error
    found: torch.Tensor = torch.load(into / "logits.pt")
    return found


@pytest.mark.parametrize("name", JOBS)
def test_its_export_computes_what_was_trained(name: str, jobs: dict[str, Finished]) -> None:
    """The export compared itself; here is that it compared what is not the base."""
    _, output = jobs[name]
    results, trained = (json.loads(path.read_text()) for path in (output.results, output.evaluation))
    assert results["steps"] == 12
    assert results["evalLoss"] == pytest.approx(trained["loss"], rel=1e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_merged_model_is_base_and_adapter(name: str, jobs: dict[str, Finished], tmp_path: Path) -> None:
    asked, output = jobs[name]
    of = partial(logits, output.data / INITIAL, task_of(asked.spec, asked.shape), into=tmp_path)
    plain, beside, merged = of(None, False), of(output.export, False), of(output.export, True)
    assert (beside - plain).abs().max() > 0.05
    assert (beside - merged).abs().max() <= 1e-5
    assert read_config(output)["base_model_name_or_path"] == "pvc://claim/run/data/step-0"
    saved = load_file(output.export / "model.safetensors")
    assert saved.keys() == load_file(output.data / INITIAL / "model.safetensors").keys()


def read_config(output: Output) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output.export / "adapter" / "adapter_config.json").read_text())
    return found


def test_without_merged_there_is_the_adapter_alone(jobs: dict[str, Finished], tmp_path: Path) -> None:
    asked, output = jobs["alone"]
    names = {path.name for path in output.export.iterdir()}
    assert "adapter" in names
    assert "tokenizer.json" in names
    assert not [name for name in names if name.endswith(".safetensors") or name == "config.json"]
    of = partial(logits, output.data / INITIAL, task_of(asked.spec, asked.shape), into=tmp_path)
    assert (of(output.export, False) - of(None, False)).abs().max() > 0.01


@pytest.mark.parametrize("name", JOBS)
def test_the_base_is_as_it_was_prepared(name: str, jobs: dict[str, Finished]) -> None:
    _, output = jobs[name]
    marker = read_marker(output.data)
    assert marker is not None
    assert differing(output.data, marker.files) is None


@pytest.mark.parametrize("name", JOBS)
def test_a_checkpoint_has_the_adapters_and_their_moments_and_no_more(
    name: str, jobs: dict[str, Finished]
) -> None:
    asked, output = jobs[name]
    assert asked.spec.model.adapter is not None
    numbers = numbers_of(adapter_tensors(asked.shape, asked.spec.model.adapter))
    size = sum(path.stat().st_size for path in (output.step(10) / "state").iterdir())
    assert 3 * 4 * numbers <= size <= 3.1 * 4 * numbers + 250_000  # beside numbers: names, of each rank
    weights = load_file(next((output.step(12) / "weights").glob("*.safetensors")))
    assert sum(one.numel() for one in weights.values()) == numbers


def test_two_adapters_share_a_base(jobs: dict[str, Finished], tmp_path: Path) -> None:
    (asked, one), (_, other) = jobs["llama"], jobs["llama again"]
    assert digests(one) == digests(other)
    a, b = (load_file(output.export / "adapter" / FILE) for output in (one, other))
    assert a.keys() == b.keys()
    assert not any(torch.equal(a[name], b[name]) for name in a if "lora_B" in name)
    of = partial(logits, task=task_of(asked.spec, asked.shape), merged=False, into=tmp_path)
    here = of(base=one.data / INITIAL, export=other.export)
    assert torch.equal(here, of(base=other.data / INITIAL, export=other.export))
    assert not torch.equal(here, of(base=one.data / INITIAL, export=one.export))


def digests(output: Output) -> dict[str, Any]:
    marker = read_marker(output.data)
    assert marker is not None
    return {name: entry for name, entry in marker.files.items() if name.startswith(INITIAL)}
