"""A job on pairs of answers from rows to a model that gives the better ones a higher number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from harness.builders import job
from harness.models.tiny import facts_of, folder_of_llama
from harness.pairs import FEW_STEPS, pairs, write
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_api import JobFile, parse_spec
from llmtrain_trainer.data.loader import open_held_out

COUNT = 40


def asked(work: Path, model: dict[str, Any], *, ranks: int, **training: Any) -> JobFile:
    """A job of a few steps on pairs."""
    source = write(work / "rows", pairs(COUNT))
    return job(
        work / "output",
        task="reward",
        model=model,
        dataset={"name": f"file://{source}", "heldOutFraction": 0.2},
        training=FEW_STEPS | training,
        processesPerNode=ranks,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """By two ranks with sharded weights."""
    work, small = tmp_path_factory.mktemp("reward"), {"hiddenSize": 32, "numLayers": 2, "vocabSize": 320}
    launch = Launch(work, asked(work, small, ranks=2, zeroStage=3))
    assert launch.wait() == 0, launch.text()
    return launch


def results(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.output.results.read_text())
    return found


@torch.no_grad()
def rewards(export: Path, rows: list[dict[str, Any]], *, batched: bool) -> list[tuple[float, float]]:
    """The numbers of both answers of each row, by plain transformers."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(export).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(export)

    def asked(row: dict[str, Any], side: str) -> str:
        messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row[side]}]
        return str(tokenizer.apply_chat_template(messages, tokenize=False))

    texts = [asked(row, side) for row in rows for side in ("chosen", "rejected")]
    step = len(texts) if batched else 1
    found: list[float] = []
    for at in range(0, len(texts), step):
        one = tokenizer(texts[at : at + step], padding=batched, add_special_tokens=False, return_tensors="pt")
        found += model(**one).logits[:, 0].tolist()
    return list(zip(found[::2], found[1::2], strict=True))


def test_held_out_pairs_are_ranked_better_than_by_their_lengths(trained: Launch) -> None:
    found = results(trained)
    told = found["preference"]
    assert told["pairs"] == len(open_held_out(trained.output.data)) > 2
    assert told["rewardAccuracy"] == 1.0
    assert told["rewardMargin"] > 0.5
    assert told["longerAccuracy"] < 0.5
    assert found["evalLoss"] < 0.5
    assert "perplexity" not in found
    assert "scores" not in found


def test_transformers_own_class_ranks_the_pairs_as_training_did(trained: Launch) -> None:
    config = json.loads((trained.output.export / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    alone = rewards(trained.output.export, pairs(COUNT), batched=False)
    assert all(better > other for better, other in alone)
    filled_up = rewards(trained.output.export, pairs(COUNT), batched=True)
    assert torch.allclose(torch.tensor(filled_up), torch.tensor(alone), atol=1e-5)


def test_the_program_of_its_card_runs(trained: Launch) -> None:
    assert len(run_snippet(trained.output.export).strip().splitlines()) == 2


@pytest.mark.proof
def test_a_base_whose_end_of_text_also_fills_up_and_ends_answers_is_read_alike(tmp_path: Path) -> None:
    base = folder_of_llama(tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(base)
    source = asked(tmp_path, {}, ranks=1)
    spec = parse_spec(source.spec.to_json() | {"model": {"name": f"file://{base}"}}, strict=True)
    facts = facts_of(base)
    told = {"spec": spec, "shape": facts.shape, "model": facts, "base": str(base)}
    launch = Launch(tmp_path, source.model_copy(update=told))
    assert launch.wait() == 0, launch.text()
    export = launch.output.export
    config = json.loads((export / "config.json").read_text())
    assert config["pad_token_id"] == config["eos_token_id"]
    alone = rewards(export, pairs(COUNT), batched=False)
    assert all(better > other for better, other in alone)
    filled_up = rewards(export, pairs(COUNT), batched=True)
    assert torch.allclose(torch.tensor(filled_up), torch.tensor(alone), atol=1e-5)
