"""A job on dialogues from rows to a model that answers, through the launcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from harness.builders import job
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_api.schema.evaluation import AnswerMetric
from llmtrain_trainer.data.loader import open_held_out, open_train
from llmtrain_trainer.data.store import read_marker
from llmtrain_trainer.evaluate.answers import answered, questions
from llmtrain_trainer.evaluate.metrics import measured
from llmtrain_trainer.inference.chat import Dialogue
from llmtrain_trainer.inference.folder import opened
from llmtrain_trainer.inference.writing import Sampling
from llmtrain_trainer.loss import IGNORED
from llmtrain_trainer.tasks.chat import ChatLM

COUNT, LONG = 64, 2
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fairness-pairs.jsonl"


def rows() -> list[dict[str, Any]]:
    """Questions with short answers, and some dialogues that are too long for a row."""
    usual = [
        {
            "messages": [
                {"role": "user", "content": f"What is {number % 8} plus {number // 8}?"},
                {"role": "assistant", "content": f"It is {number % 8 + number // 8}."},
            ]
        }
        for number in range(COUNT)
    ]
    turn = [{"role": "user", "content": "and " * 60}, {"role": "assistant", "content": "Yes."}]
    short = [{"role": "user", "content": "And now?"}, {"role": "assistant", "content": "No."}]
    return [*usual, *({"messages": [*turn, *turn, *short]} for _ in range(LONG)), {"messages": turn}]


@pytest.fixture(scope="module")
def talked(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    work = tmp_path_factory.mktemp("chat")
    (work / "rows").mkdir()
    (work / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    asked = job(
        work / "output",
        task="chat",
        model={"hiddenSize": 64, "numLayers": 2, "vocabSize": 320},
        dataset={"name": f"file://{work / 'rows'}", "heldOutFraction": 0.03},
        evaluation={
            "answerMetrics": ["exactMatch", "f1", "rouge", "bleu", "chrf"],
            "maxAnswers": 3,
            "explain": {"texts": 2, "documents": 64},
            "fairness": {"pairs": f"file://{EXAMPLE}"},
        },
        training={
            "maxSteps": 250,
            "learningRate": 5e-3,
            "sequenceLength": 64,
            "globalBatchSize": 16,
            "microBatchSize": 8,
        },
    )
    launch = Launch(work, asked.model_copy(update={"pairs": str(EXAMPLE)}))
    assert launch.wait() == 0, launch.text()
    return launch


def test_the_tokens_of_answers_are_learnt(talked: Launch) -> None:
    marker = read_marker(talked.output.data)
    assert marker is not None
    batch = torch.from_numpy(np.array(open_train(talked.output.data, marker)).astype(np.int64))
    inputs, labels = ChatLM().encode(batch, [])
    model = opened(talked.output.export, torch.device("cpu")).model
    with torch.no_grad():
        # with a cache transformers would let the dialogues of a row see each other
        guessed = model(**inputs, use_cache=False).logits.argmax(-1)
    asked = labels != IGNORED
    assert asked.sum() > 4 * COUNT
    assert (guessed == labels)[asked].float().mean() >= 0.99


def test_the_exported_model_answers_and_stops(talked: Launch) -> None:
    model = opened(talked.output.root, torch.device("cpu"))
    dialogue, said = Dialogue(model, Sampling(tokens=20, temperature=0)), [""]
    dialogue.answer("What is 3 plus 4?", said.append)
    assert "".join(said).strip() == "It is 7."


def test_plain_transformers_stops_where_the_answer_ends(talked: Launch) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(talked.output.export)
    tokenizer = transformers.AutoTokenizer.from_pretrained(talked.output.export)
    messages = [{"role": "user", "content": "What is 3 plus 4?"}]
    asked = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    ids = model.generate(**asked, max_new_tokens=20, do_sample=False)[0, asked["input_ids"].shape[1] :]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "It is 7."
    assert tokenizer.decode(ids[-1:]) == "<|im_end|>"
    assert model.generation_config.use_cache, "off in training alone"


def test_answers_to_held_out_dialogues_are_compared_with_theirs(talked: Launch) -> None:
    told = json.loads(talked.output.results.read_text())["answers"]
    held_out = open_held_out(talked.output.data)
    asked = questions(held_out, 3)
    assert 1 <= told["written"] == len(asked) <= 3
    model = opened(talked.output.export, torch.device("cpu"))
    pairs = answered(model.model, model.tokenizer, asked, 1000)
    assert all(right.startswith("It is ") and right.endswith(".") for _, right in pairs if right != "No.")
    assert any(written.startswith("It is ") for written, _ in pairs)
    scores, signatures = measured(pairs, list(AnswerMetric))
    assert told.pop("written") == len(pairs)
    assert told.pop("signatures") == signatures
    assert told == pytest.approx(scores)
    trained = questions(open_train(talked.output.data, read_marker(talked.output.data)), 20)  # type: ignore[arg-type]
    pairs = answered(model.model, model.tokenizer, trained, 10_000)
    assert measured(pairs, [AnswerMetric.EXACT_MATCH])[0]["exactMatch"] >= 95


def test_pairs_of_sentences_are_compared_by_the_exported_model(talked: Launch) -> None:
    told = json.loads(talked.output.results.read_text())["fairness"]
    assert (told["pairs"], told["of"], told["score"]) == (60, 60, "logLikelihood")
    assert [one["category"] for one in told["categories"]] == ["age", "gender", "home"]
    assert all(one["low"] <= one["gap"] <= one["high"] for one in told["categories"])
    model = opened(talked.output.export, torch.device("cpu"))
    gaps = []
    for line in EXAMPLE.read_text().splitlines():
        pair = json.loads(line)
        if pair["category"] == "age":
            losses = []
            for text in (pair["a"], pair["b"]):
                ids = torch.tensor([[model.tokenizer.eos_token_id, *model.tokenizer(text)["input_ids"]]])
                with torch.no_grad():
                    losses.append(float(model.model(ids, labels=ids).loss) * (ids.shape[1] - 1))
            gaps.append(losses[1] - losses[0])
    assert told["categories"][0]["gap"] == pytest.approx(sum(gaps) / len(gaps), rel=1e-3)
    assert "| `age` | 20 |" in (talked.output.export / "README.md").read_text()


def test_held_out_dialogues_are_explained_beside_the_export(talked: Launch) -> None:
    results = json.loads(talked.output.results.read_text())
    told = json.loads((talked.output.export / "explanation.json").read_text())
    assert results["explained"] == len(told["texts"]) >= 1
    assert told["kind"] == "next"
    assert (talked.output.export / "explanation.html").read_text().count("<section") == len(told["texts"])
    assert "`explanation.html`" in (talked.output.export / "README.md").read_text()
    for one in told["texts"]:
        shown = "".join(token["text"] for token in one["tokens"])
        assert shown.startswith("<|im_start|>user\n")
        assert shown.count("<|im_start|>user") == 1, "one dialogue of a row that has several"
        assert all(near["document"].startswith("all.jsonl line ") for near in one["nearest"])
    assert 1 <= told["documents"]["compared"] <= 64
    own = [token for token in told["texts"][0]["tokens"] if token["loss"] is not None]
    assert len(own) == len(told["texts"][0]["tokens"]) - 1


def test_the_report_shows_what_is_trained_on_and_what_was_cut(talked: Launch) -> None:
    report = json.loads((talked.output.data / "report.json").read_text())
    assert report["read"]["dialogues"] == {"shortened": LONG, "tooLong": 1}
    results = json.loads(talked.output.results.read_text())
    assert results["data"]["skippedDocuments"] == 1
    assert any("⟫It is " in shown for shown in results["data"]["samples"])
    assert report["documents"]["train"] + report["documents"]["heldOut"] == COUNT + LONG
    parts = [part for sample in report["samples"] for part in sample]
    assert all("plus" not in part["text"] for part in parts if part["trained"])
    assert any(
        "It is" in part["text"] and part["text"].endswith("<|im_end|>") for part in parts if part["trained"]
    )
    sentences = " ".join(report["warnings"])
    assert "2 dialogues are longer than training.sequenceLength" in sentences
    assert "1 dialogues are left out" in sentences


def test_a_row_without_an_answer_ends_the_job_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    bad = [*rows()[:3], {"messages": [{"role": "user", "content": "anybody?"}]}]
    (tmp_path / "rows" / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    asked = job(tmp_path / "output", task="chat", dataset={"name": f"file://{tmp_path / 'rows'}"})
    launch = Launch(tmp_path, asked)
    assert launch.wait() == 78, launch.text()
    assert (
        "all.jsonl line 4 is no row with a dialogue: no message is the assistant's"
        in launch.message()["message"]
    )


def test_the_program_of_its_card_runs(talked: Launch) -> None:
    assert run_snippet(talked.output.export).strip()
