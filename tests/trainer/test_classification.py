"""Jobs on labelled texts from rows to a folder that anybody's transformers reads, through the launcher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from harness.builders import job_file, least_spec
from harness.ports import free_port
from harness.trainer.cards import run_snippet
from harness.trainer.launches import Launch

from llmtrain_trainer.data.sources import is_held_out
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.evaluate.scores import entities
from llmtrain_trainer.pretrained.inspect import inspect
from llmtrain_trainer.special_tokens import EOS

COUNT = 64
SIGNS = ("rain", "sun", "wind", "snow")
THINGS = ("house", "river", "street", "garden", "mountain", "window", "valley", "harbour")


def pairs() -> list[dict[str, Any]]:
    """Pairs of texts whose class is whether both tell of the same weather."""
    found = []
    for number in range(COUNT):
        first, second = SIGNS[number % 4], SIGNS[number // 4 % 4]
        found.append(
            {
                "text": f"There is {first} over the {THINGS[number % 8]} number {number}",
                "text_pair": f"We saw {second} at the {THINGS[number // 8]}",
                "label": "same" if first == second else "other",
            }
        )
    return found


def numbers() -> list[dict[str, Any]]:
    """Texts with how much of the weather they tell, from -1.5 to 1.5."""
    return [
        {"text": f"{SIGNS[at % 4]} over the {THINGS[at // 4 % 8]}, day {at}", "score": at % 4 - 1.5}
        for at in range(COUNT)
    ]


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    folder.mkdir(parents=True)
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file://{folder}"


def singles() -> list[dict[str, Any]]:
    """Texts of unequal lengths whose class is their weather."""
    return [
        {
            "text": f"{SIGNS[at % 4]} over the {' and the '.join(THINGS[: 1 + at % 5])}, day {at}",
            "label": SIGNS[at % 4],
        }
        for at in range(COUNT)
    ]


def decoder(folder: Path) -> Path:
    """A Llama with random weights, whose tokenizer has no token that fills up."""
    tokenizer = train_bpe([row["text"] for row in singles()], 320, [])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, model_input_names=["input_ids", "attention_mask"]
    ).save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=320, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
    )
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def started(work: Path, rows: list[dict[str, Any]], name: str, **changes: Any) -> Launch:
    base = None if name.startswith("builtin://") else name.removeprefix("file://")
    sizes = {"hiddenSize": 64, "numLayers": 2, "numHeads": 4, "vocabSize": 400} if base is None else {}
    asked = least_spec(
        task=changes.get("task", "classification"),
        model={"name": name} | sizes,
        dataset={"name": write(work / "rows", rows), "heldOutFraction": 0.1} | changes.get("dataset", {}),
        processesPerNode=2,
        training={
            "maxSteps": changes.get("steps", 120),
            "learningRate": changes.get("rate", 3e-3),
            "sequenceLength": 48,
            "globalBatchSize": 16,
            "microBatchSize": 4,
        },
        evaluation={"everySteps": 0, "explain": {"texts": 3, "documents": 8}},
    )
    told: dict[str, Any] = {"port": free_port()}
    if base is not None:
        facts = inspect(asked, base)
        told |= {"shape": facts.shape, "model": facts, "base": base}
    return Launch(work, job_file(asked, work / "output", **told))


def launched(work: Path, rows: list[dict[str, Any]], name: str, **changes: Any) -> Launch:
    launch = started(work, rows, name, **changes)
    assert launch.wait() == 0, launch.text()
    return launch


def opened(folder: Path) -> tuple[Any, Any]:
    """The folder as whoever knows nothing of us opens it."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def outputs(folder: Path, rows: list[dict[str, Any]]) -> torch.Tensor:
    model, tokenizer = opened(folder)
    texts = [[row[name] for row in rows] for name in ("text", "text_pair") if name in rows[0]]
    found: torch.Tensor = model(**tokenizer(*texts, padding=True, return_tensors="pt")).logits
    return found


def accuracy(folder: Path, rows: list[dict[str, Any]]) -> float:
    names = opened(folder)[0].config.id2label
    said = [names[at] for at in outputs(folder, rows).argmax(-1).tolist()]
    return sum(one == row["label"] for one, row in zip(said, rows, strict=True)) / len(rows)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    return launched(tmp_path_factory.mktemp("bert"), pairs(), "builtin://tiny-bert")


def test_a_new_encoder_learns_classes_of_pairs(bert: Launch) -> None:
    assert accuracy(bert.output.export, pairs()) >= 0.95
    assert opened(bert.output.export)[0].config.id2label == {0: "other", 1: "same"}


def test_the_class_that_the_model_says_is_explained(bert: Launch) -> None:
    told = json.loads((bert.output.export / "explanation.json").read_text())
    assert (told["kind"], told["documents"]["compared"]) == ("class", 8)
    model, tokenizer = opened(bert.output.export)
    for one in told["texts"]:
        row = next(row for row in pairs() if _ids(tokenizer, row) == [token["id"] for token in one["tokens"]])
        logits = outputs(bert.output.export, [row])[0]
        assert one["said"]["class"] == model.config.id2label[int(logits.argmax())]
        assert one["said"]["logit"] == pytest.approx(float(logits.max()), rel=1e-3)
        assert one["nearest"][0]["excerpt"].count("There is ") == 1


def _ids(tokenizer: Any, row: dict[str, Any]) -> list[int]:
    found: list[int] = tokenizer(row["text"], row["text_pair"])["input_ids"]
    return found


def test_the_results_tell_how_often_it_is_right_and_what_is_learnt(bert: Launch) -> None:
    results = json.loads(bert.output.results.read_text())
    scores, report = results["scores"], json.loads((bert.output.data / "report.json").read_text())
    held_out = {name: counts["heldOut"] for name, counts in report["classes"].items()}
    assert (scores["samples"], scores["classes"]) == (sum(held_out.values()), 2)
    assert scores["majorityAccuracy"] == pytest.approx(held_out["other"] / scores["samples"])
    assert scores.keys() == {"samples", "classes", "accuracy", "majorityAccuracy", "macroF1"}
    assert "perplexity" not in results
    assert any(shown.endswith(" → same") for shown in results["data"]["samples"])


def test_a_pretrained_decoder_without_padding_learns_classes_in_plain_batches(tmp_path: Path) -> None:
    base = decoder(tmp_path / "base")
    assert transformers.AutoTokenizer.from_pretrained(base).pad_token is None
    launch = launched(tmp_path / "job", singles(), f"file://{base}")
    assert accuracy(launch.output.export, singles()) >= 0.95
    config = json.loads((launch.output.export / "config.json").read_text())
    assert config["architectures"] == ["LlamaForSequenceClassification"]
    assert (
        config["pad_token_id"]
        == transformers.AutoTokenizer.from_pretrained(launch.output.export).pad_token_id
    )


@pytest.mark.proof
def test_a_number_is_learnt_on_top_of_a_classifier(bert: Launch, tmp_path: Path) -> None:
    launch = launched(
        tmp_path,
        numbers(),
        f"file://{bert.output.export}",
        task="regression",
        dataset={"fields": {"label": "score"}},
        rate=1e-3,
        steps=500,
    )
    wanted = torch.tensor([row["score"] for row in numbers()])
    errors = (outputs(launch.output.export, numbers())[:, 0] - wanted).square()
    held_out = torch.tensor([is_held_out(json.dumps([row["text"]]), 0.1) for row in numbers()])
    assert float(errors[~held_out].mean()) < 0.05 * float(wanted.var())
    # how well it does on texts that it has not seen is luck; that it is told as it is, is not
    scores = json.loads(launch.output.results.read_text())["scores"]
    assert scores["samples"] == int(held_out.sum())
    assert scores["mse"] == pytest.approx(float(errors[held_out].mean()), rel=1e-3)
    mean = wanted[~held_out].mean()
    assert scores["meanMse"] == pytest.approx(float((wanted[held_out] - mean).square().mean()), rel=1e-5)


def test_a_class_that_cannot_be_learnt_ends_the_job_with_its_line(tmp_path: Path) -> None:
    rows = [{"text": f"text {at}", "label": "usual" if at % 2 else "other"} for at in range(40)]
    odd = next(at for at in range(40) if is_held_out(json.dumps([rows[at]["text"]]), 0.3))
    rows[odd]["label"] = "rare"
    launch = started(tmp_path, rows, "builtin://tiny-bert", dataset={"heldOutFraction": 0.3})
    assert launch.wait() == 78, launch.text()
    assert (
        f"all.jsonl line {odd + 1}: class 'rare' is in the held-out data alone" in launch.message()["message"]
    )


def tagged() -> list[dict[str, Any]]:
    """Sentences with the weather and where it is as entities."""
    found = []
    for at in range(COUNT):
        place = ["the", THINGS[at % 8]] if at % 3 else [THINGS[at % 8]]
        tokens = [SIGNS[at % 4], "over", *place, "on", "day", str(at)]
        rest = len(tokens) - 2 - len(place)
        found.append(
            {
                "tokens": tokens,
                "tags": ["B-SIGN", "O", "B-PLACE", *["I-PLACE"] * (len(place) - 1), *["O"] * rest],
            }
        )
    return found


def test_tags_of_words_are_learnt_in_plain_transformers(tmp_path: Path) -> None:
    launch = started(tmp_path, tagged(), "builtin://tiny-bert", task="tokenClassification")
    assert launch.wait() == 0, launch.text()
    assert run_snippet(launch.output.export).startswith("A ")
    folder = launch.output.export
    model = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    words = [row["tokens"] for row in tagged()]
    batch = tokenizer(words, is_split_into_words=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        found = model(**batch).logits.argmax(-1)
    right = 0
    for at, row in enumerate(tagged()):
        of_word = batch.word_ids(at)
        said = [
            model.config.id2label[int(found[at, of_word.index(word)])] for word in range(len(row["tokens"]))
        ]
        right += entities(said) == entities(row["tags"])
    assert right >= 0.95 * COUNT
    scores = json.loads(launch.output.results.read_text())["scores"]
    assert scores["classes"] == 4
    assert scores["accuracy"] > scores["majorityAccuracy"]
    assert scores["entityF1"] > 0.8


def test_the_program_of_its_card_runs(bert: Launch) -> None:
    assert run_snippet(bert.output.export).strip() in ("other", "same")
