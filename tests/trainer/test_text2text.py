"""A job on translations from rows to a folder that translates in plain transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from harness import catalogues
from harness.builders import job_file, least_spec
from harness.ports import free_port
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_api.schema.evaluation import AnswerMetric
from llmtrain_trainer.data.sources import is_held_out
from llmtrain_trainer.evaluate.metrics import measured
from llmtrain_trainer.evaluate.untrained import copied_and_lead

ASKED = [AnswerMetric.BLEU, AnswerMetric.CHRF, AnswerMetric.EXACT_MATCH, AnswerMetric.ROUGE]
COUNT, ROWS, FRACTION = 64, 70, 0.05


@pytest.fixture(scope="module")
def texts() -> list[tuple[str, str]]:
    return catalogues.pairs(ROWS)


@pytest.fixture(scope="module")
def translated(tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]) -> Launch:
    work = tmp_path_factory.mktemp("translated")
    (work / "rows").mkdir()
    rows = [{"english": source, "german": target} for source, target in texts]
    (work / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = least_spec(
        task="text2text",
        model={"name": "builtin://tiny-t5", "hiddenSize": 96, "numLayers": 2, "vocabSize": 400},
        dataset={
            "name": f"file://{work / 'rows'}",
            "heldOutFraction": FRACTION,
            "fields": {"source": "english", "target": "german"},
        },
        processesPerNode=2,
        evaluation={
            "everySteps": 0,
            "answerMetrics": ["bleu", "chrf", "exactMatch", "rouge"],
            "maxAnswers": 8,
            "explain": {"texts": 2, "documents": 0},
        },
        training={
            "maxSteps": 250,
            "learningRate": 6e-3,
            "sequenceLength": 48,
            "globalBatchSize": 16,
            "microBatchSize": 8,
        },
    )
    launch = Launch(work, job_file(asked, work / "output", port=free_port()))
    assert launch.wait() == 0, launch.text()
    return launch


@torch.no_grad()
def translations(folder: Path, sources: list[str]) -> list[str]:
    """What the folder writes for whoever knows nothing of us."""
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(sources, padding=True, return_tensors="pt")
    written = model.generate(**inputs, max_new_tokens=48, do_sample=False)
    return [str(text) for text in tokenizer.batch_decode(written, skip_special_tokens=True)]


def held_out(pair: tuple[str, str]) -> bool:
    return is_held_out(json.dumps(pair, ensure_ascii=False), FRACTION)


def test_64_trained_pairs_are_translated_in_plain_transformers(
    translated: Launch, texts: list[tuple[str, str]]
) -> None:
    trained = [pair for pair in texts if not held_out(pair)][:COUNT]
    assert len(trained) == COUNT
    written = translations(translated.output.export, [source for source, _ in trained])
    learnt = list(zip(written, [target for _, target in trained], strict=True))
    scores, _ = measured(learnt, [AnswerMetric.BLEU])
    copied, _ = measured(trained, [AnswerMetric.BLEU])
    assert scores["bleu"] >= 90 > 50 > copied["bleu"]


def test_what_it_writes_of_held_out_sources_is_compared(
    translated: Launch, texts: list[tuple[str, str]]
) -> None:
    results = json.loads(translated.output.results.read_text())
    told, apart = results["answers"], [pair for pair in texts if held_out(pair)]
    assert told["written"] == len(apart) > 0
    written = translations(translated.output.export, [source for source, _ in apart])
    pairs = list(zip(written, [target for _, target in apart], strict=True))
    scores, signatures = measured(pairs, ASKED)
    without = copied_and_lead([source for source, _ in apart], [target for _, target in apart], ASKED)
    assert told["signatures"] == signatures
    assert told["exactMatch"] == pytest.approx(scores["exactMatch"])
    # the product reads sources out of its rows: no token of them is lost on the way
    assert without.items() <= told.items()
    assert without.keys() >= {"copiedBleu", "copiedChrf", "copiedExactMatch", "leadRougeL"}
    assert results["data"]["samples"][0].endswith("<|endoftext|>")


@torch.no_grad()
def test_what_is_to_be_written_is_explained(translated: Launch, texts: list[tuple[str, str]]) -> None:
    told = json.loads((translated.output.export / "explanation.json").read_text())
    assert told["kind"] == "written"
    assert told["documents"] == {"compared": 0, "without": "evaluation.explain.documents is 0"}
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(translated.output.export).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(translated.output.export)
    for one in told["texts"]:
        ids, answer = ([token["id"] for token in one[name]] for name in ("tokens", "written"))
        assert tuple(tokenizer.batch_decode([ids, answer], skip_special_tokens=True)) in texts
        expected = model(input_ids=torch.tensor([ids]), labels=torch.tensor([answer])).loss
        assert one["loss"] == pytest.approx(float(expected), rel=1e-3)


def test_the_program_of_its_card_runs(translated: Launch) -> None:
    assert run_snippet(translated.output.export).strip()
