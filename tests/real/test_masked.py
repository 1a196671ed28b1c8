"""A real BERT goes on learning to fill gaps, in text that people wrote: two ranks, through the launcher.

Skipped, and counted, until `make models` has put model and text into the cache.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from harness.builders import job_file
from harness.dialogues import CHATTERBOT, parted
from harness.models.real import MINILM
from harness.ports import free_port
from harness.trainer.launches import Launch
from safetensors.torch import load_file

from llmtrain_api import parse_spec
from llmtrain_trainer.data.store import read_marker
from llmtrain_trainer.models.headers import LocalFiles
from llmtrain_trainer.pretrained.inspect import look_at

STEPS = 30
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    base, work = MINILM.required(), tmp_path_factory.mktemp("masked")
    text = work / "text"
    text.mkdir()
    for number, row in enumerate(parted(CHATTERBOT.required()).train):
        said = "\n".join(message["content"] for message in row["messages"])
        (text / f"{number}.txt").write_text(said)
    asked = parse_spec(
        {
            "model": {"name": f"file://{base}"},
            "dataset": {"name": f"file://{text}"},
            "processesPerNode": 2,
            "training": {
                "maxSteps": STEPS,
                "sequenceLength": 64,
                "globalBatchSize": 8,
                "warmupSteps": 5,
                "learningRate": 1e-3,
            },
            "evaluation": {"everySteps": STEPS // 2, "maxSequences": 16},
            "output": {"uri": "pvc://claim/run"},
        },
        strict=True,
    )
    facts = look_at(LocalFiles(base, "minilm"), pretrained=True)
    known = job_file(asked, work / "output", port=free_port(), shape=facts.shape, model=facts, base=str(base))
    launch = Launch(work, known)
    assert launch.wait() == 0, launch.text()
    return launch


def steps(launch: Launch) -> list[float]:
    rows = (launch.output.logs(0) / "metrics.jsonl").read_text().splitlines()
    return [row["loss"] for row in map(json.loads, rows) if "loss" in row]


def test_its_new_head_begins_with_no_opinion_and_learns(trained: Launch) -> None:
    """The package has BERT without a head: the first loss is that of a guess among all words."""
    losses = steps(trained)
    assert len(losses) == STEPS
    guess = torch.log(torch.tensor(30_522.0)).item()
    assert losses[0] == pytest.approx(guess, rel=0.1)
    assert sum(losses[-5:]) / 5 < losses[0] - 1.5


def test_the_tokens_are_hidden_by_its_own_mask(trained: Launch) -> None:
    marker = read_marker(trained.output.data)
    assert marker is not None
    assert marker.special.mask == 103


def test_plain_transformers_fills_gaps_with_the_export(trained: Launch) -> None:
    export = trained.output.export
    model = transformers.AutoModelForMaskedLM.from_pretrained(export).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(export)
    given = tokenizer("what is your [MASK] ?", return_tensors="pt")
    with torch.no_grad():
        drawn = model(**given).logits[0, given.input_ids[0].tolist().index(103)]
    assert torch.isfinite(drawn).all()
    results = json.loads(trained.output.results.read_text())
    assert results["evalLoss"] < steps(trained)[0] - 1


def test_what_the_base_knew_is_where_training_began(trained: Launch) -> None:
    """30 steps move its weights a little: they are the base's and no others."""
    before = load_file(MINILM.folder / "model.safetensors")
    after = load_file(Path(trained.output.export) / "model.safetensors")
    name = "encoder.layer.3.attention.self.query.weight"
    moved = (after[f"bert.{name}"] - before[name]).norm() / before[name].norm()
    assert 0 < float(moved) < 0.3
