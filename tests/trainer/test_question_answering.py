"""Questions on texts from rows to a folder that anybody's transformers reads, through the launcher."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from harness.builders import job_file, least_spec
from harness.ports import free_port
from harness.trainer.launches import Launch

from llmtrain_api import Task
from llmtrain_trainer.data.labelled.sample import TakeSample
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.sources import is_held_out

COUNT, LENGTH = 64, 32
SIGNS = ("rain", "sun", "wind", "snow")
PLACES = ("house", "river", "street", "garden", "mountain", "window", "valley", "harbour")


def rows(*, unanswerable: bool = False) -> list[dict[str, Any]]:
    """Texts of unequal lengths that tell where some weather was, and a question for it."""
    found = []
    for at in range(COUNT):
        place, sign = PLACES[at // 8 % 8], SIGNS[at % 4]
        before = " and ".join(["nobody knew"] * (at % 9 * 2))
        context = f"Day {at}. {before} There was {sign} at the {place}."
        known = {"text": [f"the {place}"], "answer_start": [context.index(f"the {place}")]}
        none = unanswerable and at % 4 == 0
        found.append(
            {
                "question": "Who was there?" if none else f"Where was {sign}?",
                "context": context,
                "answers": {"text": [], "answer_start": []} if none else known,
            }
        )
    return found


def launched(work: Path, asked: list[dict[str, Any]], length: int) -> Launch:
    data = work / "rows"
    data.mkdir(parents=True)
    (data / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    spec = least_spec(
        task="questionAnswering",
        model={
            "name": "builtin://tiny-bert",
            "hiddenSize": 64,
            "numLayers": 2,
            "numHeads": 4,
            "vocabSize": 400,
        },
        dataset={"name": f"file://{data}", "heldOutFraction": 0.1},
        processesPerNode=2,
        training={
            "maxSteps": 150,
            "learningRate": 3e-3,
            "sequenceLength": length,
            "globalBatchSize": 16,
            "microBatchSize": 4,
        },
        evaluation={"everySteps": 0},
    )
    launch = Launch(work, job_file(spec, work / "output", port=free_port()))
    assert launch.wait() == 0, launch.text()
    return launch


@cache
def opened(folder: Path) -> tuple[Any, Any]:
    """An export's model and tokenizer, as anybody opens them."""
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def said(folder: Path, row: dict[str, Any], length: int, *, maybe_none: bool = False) -> str:
    """What plain transformers makes of a question, as its documentation tells to; empty for no answer."""
    model, tokenizer = opened(folder)
    batch = tokenizer(
        row["question"],
        row["context"],
        truncation="only_second",
        max_length=length,
        stride=length // 4,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding=True,
        return_tensors="pt",
    )
    batch.pop("overflow_to_sample_mapping")
    offsets = batch.pop("offset_mapping")
    outputs, best = model(**batch), (float("-inf"), "")
    none = min(float(outputs.start_logits[at, 0] + outputs.end_logits[at, 0]) for at in range(len(offsets)))
    for window in range(len(offsets)):
        start, end = outputs.start_logits[window], outputs.end_logits[window]
        inside = [at for at, kind in enumerate(batch.sequence_ids(window)) if kind == 1]
        for first in inside:
            for last in range(first, min(first + 8, inside[-1] + 1)):
                text = row["context"][int(offsets[window][first][0]) : int(offsets[window][last][1])]
                best = max(best, (float(start[first] + end[last]), text.strip()))
    return "" if maybe_none and none >= best[0] else best[1]


def known(row: dict[str, Any]) -> str:
    return "".join(row["answers"]["text"])


def held_out(row: dict[str, Any]) -> bool:
    sample = TakeSample(Task.QUESTIONS, {})(Record(row, "all.jsonl", 1)).item
    return is_held_out(sample.text, 0.1)


def test_answers_in_long_texts_are_found_in_plain_transformers(tmp_path: Path) -> None:
    launch = launched(tmp_path, rows(), LENGTH)
    right = {at: said(launch.output.export, row, LENGTH) == known(row) for at, row in enumerate(rows())}
    assert sum(right.values()) >= 0.95 * COUNT
    config = json.loads((launch.output.export / "config.json").read_text())
    assert config["architectures"] == ["BertForQuestionAnswering"]
    assert "problem_type" not in config
    results = json.loads(launch.output.results.read_text())
    report = json.loads((launch.output.data / "report.json").read_text())
    kept = [at for at, row in enumerate(rows()) if held_out(row)]
    assert report["questions"]["heldOut"]["all"] == len(kept)
    assert report["questions"]["train"] == {"all": COUNT - len(kept), "withoutAnswer": 0}
    assert json.loads((launch.output.data / "data.json").read_text())["sequences"] > COUNT, (
        "long texts have several windows"
    )
    assert results["scores"]["samples"] == len(kept)
    # how well it does on texts that it has not seen is luck; windows are cut a little otherwise here
    found = 100 * sum(right[at] for at in kept) / len(kept)
    assert abs(results["scores"]["exactMatch"] - found) <= 100 / len(kept)
    assert results["scores"]["f1"] >= results["scores"]["exactMatch"]
    assert results["scores"]["noAnswerExactMatch"] == 0


@pytest.mark.proof
def test_that_there_is_no_answer_is_learnt_too(tmp_path: Path) -> None:
    launch = launched(tmp_path, rows(unanswerable=True), 64)
    report = json.loads((launch.output.data / "report.json").read_text())["questions"]["heldOut"]
    scores = json.loads(launch.output.results.read_text())["scores"]
    assert scores["noAnswerExactMatch"] == 100 * report["withoutAnswer"] / report["all"]
    asked = rows(unanswerable=True)
    right = [said(launch.output.export, row, 64, maybe_none=True) == known(row) for row in asked]
    assert sum(right) >= 0.9 * COUNT
    assert any(ok for ok, row in zip(right, asked, strict=True) if not known(row)), "none is said too"
    kept = [ok for ok, row in zip(right, asked, strict=True) if held_out(row)]
    assert abs(scores["exactMatch"] - 100 * sum(kept) / len(kept)) <= 100 / len(kept)
