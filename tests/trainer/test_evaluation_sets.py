"""``evaluation.datasets``: sets that a model is measured on apart, at the end of training or alone."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness.builders import job, job_file, least_spec
from harness.ports import free_port
from harness.trainer.launches import Launch
from harness.trainer.tensorboard_files import events

from llmtrain_api import JobFile
from llmtrain_trainer.data.loader import open_held_out
from llmtrain_trainer.data.store import read_marker, reusable
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import sha256

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    import transformers
    from harness.models.tiny import folder_of_llama

    from llmtrain_trainer.data.prepare import prepare
    from llmtrain_trainer.pretrained.inspect import inspect

pytestmark = pytest.mark.timeout(400)
LENGTH, MOST = 32, 6
SIZES = {"hiddenSize": 64, "numLayers": 2, "numHeads": 4, "vocabSize": 400}
SIGNS = ("rain", "sun", "wind", "snow")


def sentence(number: int) -> str:
    return f"Document {number} tells that {number} and {number + 1} are {2 * number + 1}. " * 4


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"file://{path}"


def named(name: str, source: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "source": source, **more}


def text_sets(work: Path) -> list[dict[str, Any]]:
    """One in the language of the training data, and one in another, in a table with columns of its own."""
    near = write(work / "near.jsonl", [{"text": sentence(2000 + at)} for at in range(30)])
    table = work / "far.csv"
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerows([("number", "body"), *((at, f"qx {at * 7919 % 997} zv " * 30) for at in range(3))])
    return [named("near", near), named("far", f"file://{table}", fields={"text": "body"})]


def text_job(work: Path, ranks: int, attempt: int = 0) -> JobFile:
    texts = write(work / "texts" / "all.jsonl", [{"text": sentence(at)} for at in range(60)])
    return job(
        work / "output",
        attempt=attempt,
        dataset={"name": texts, "maxBytes": None},
        processesPerNode=ranks,
        training={
            "maxSteps": 12,
            "learningRate": 1e-2,
            "warmupSteps": 1,
            "sequenceLength": LENGTH,
            "globalBatchSize": 8,
            "microBatchSize": 2,
            "precision": "fp32",
        },
        evaluation={"everySteps": 0, "maxSequences": MOST, "datasets": text_sets(work)},
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Launch:
    """A job of two ranks."""
    work = tmp_path_factory.mktemp("two")
    launch = Launch(work, text_job(work, 2))
    assert launch.wait() == 0, launch.text()
    return launch


def results_of(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.output.results.read_text())
    return found


@torch.no_grad()
def loss_of(folder: Path, rows: Any) -> float:
    """By plain transformers, which are told where a document begins by nobody: each row is one text."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.from_numpy(np.array(rows).astype(np.int64))
    logits = model(ids).logits[:, :-1]
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1).double(), ids[:, 1:].flatten()))


def test_each_set_is_measured_by_itself_on_what_is_exported(two: Launch) -> None:
    near, far = results_of(two)["datasets"]
    assert (near["name"], far["name"]) == ("near", "far")
    for one in (near, far):
        rows = open_held_out(two.output.data / "datasets" / one["name"])
        assert rows.shape == (one["sequences"], LENGTH)
        assert one["evalLoss"] == pytest.approx(loss_of(two.output.export, rows), rel=1e-4)
        assert one["perplexity"] == pytest.approx(np.exp(one["evalLoss"]), rel=1e-4)
        assert one["tokens"] == one["sequences"] * (LENGTH - 1)
    assert far["evalLoss"] > near["evalLoss"] + 0.5, "nothing like it was in the training data"


def test_what_is_left_out_is_told(two: Launch) -> None:
    near, far = results_of(two)["datasets"]
    assert near["sequences"] == MOST < near["of"]
    assert (near["documents"], far["documents"]) == (30, 3)
    told = f"evaluation.datasets[0].source file://{two.path.parent / 'near.jsonl'}: {MOST} of {near['of']:,}"
    report = json.loads((two.output.data / "report.json").read_text())
    assert [one for one in report["warnings"] if one.startswith(told)]
    assert [one["name"] for one in report["datasets"]] == ["near", "far"]
    assert report["datasets"][1]["read"]["files"] == 1


def test_nothing_is_learnt_from_a_set(two: Launch) -> None:
    """Neither rows nor the tokenizer: its entries are those of a job without sets."""
    alone = text_job(two.path.parent / "alone", 1)
    spec = alone.spec.model_copy(
        update={
            "evaluation": alone.spec.evaluation.model_copy(update={"datasets": []}),
            "dataset": two.job.spec.dataset,
        }
    )
    other = prepare(alone.model_copy(update={"spec": spec}), two.path.parent / "alone" / "data")
    marker = read_marker(two.output.data)
    assert marker is not None
    of_sets = {name for name in marker.files if name.startswith("datasets/")}
    assert of_sets == {"datasets/near/heldout.npy", "datasets/far/heldout.npy"}
    same = {name: entry for name, entry in marker.files.items() if name not in {*of_sets, "report.json"}}
    assert same == {name: entry for name, entry in other.files.items() if name != "report.json"}
    assert marker.stream is not None
    assert other.stream is not None
    assert marker.stream["digest"] == other.stream["digest"]


def test_one_rank_and_two_find_the_same(two: Launch, tmp_path: Path) -> None:
    one = Launch(tmp_path, text_job(tmp_path, 1))
    assert one.wait() == 0, one.text()
    for alone, shared in zip(results_of(one)["datasets"], results_of(two)["datasets"], strict=True):
        assert alone["evalLoss"] == pytest.approx(shared["evalLoss"], rel=1e-4)
        assert {**alone, "evalLoss": 0, "perplexity": 0} == {**shared, "evalLoss": 0, "perplexity": 0}


def test_they_are_told_wherever_results_are(two: Launch) -> None:
    near, far = results_of(two)["datasets"]
    assert two.message()["results"]["datasets"] == [near, far]
    card = (two.output.export / "README.md").read_text()
    assert "| set | sequences | loss | perplexity |" in card
    assert f"| `near` | {MOST} of {near['of']} | {near['evalLoss']:.6g} |" in card
    (event,) = [one for one in events(two.output.logs(0) / "tensorboard" / "datasets") if one.summary.value]
    points = {one.tag: one.simple_value for one in event.summary.value}
    assert event.step == 12
    assert points == pytest.approx(
        {"eval/near/loss": near["evalLoss"], "eval/far/loss": far["evalLoss"]}, rel=1e-6
    )


def test_an_evaluation_that_was_cut_off_is_made_again_and_told_once(two: Launch) -> None:
    """The attempt ended after it had measured and before it said that all is done."""
    before, data = results_of(two), sha256(two.output.data / "data.json")
    two.output.complete.unlink()
    again = Launch(two.path.parent, text_job(two.path.parent, 2, attempt=1))
    assert again.wait() == 0, again.text()
    assert results_of(again)["datasets"] == before["datasets"]
    assert sha256(two.output.data / "data.json") == data, "the sets are not prepared again"
    boards = sorted(two.output.root.glob("logs/*/tensorboard/datasets"))
    assert boards == [two.output.logs(1) / "tensorboard" / "datasets"]
    assert len([one for one in events(boards[0]) if one.summary.value]) == 1


def test_a_set_that_was_changed_on_the_disk_is_prepared_again(two: Launch) -> None:
    assert reusable(two.output.data, two.job, has_checkpoints=False)[0] is not None
    path = two.output.data / "datasets" / "near" / "heldout.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        found, reason = reusable(two.output.data, two.job, has_checkpoints=False)
    finally:
        path.write_bytes(whole)
    assert found is None
    assert "datasets/near/heldout.npy" in reason
    asked = two.job.spec.evaluation
    fewer = asked.model_copy(update={"datasets": asked.datasets[:1]})
    other = two.job.model_copy(update={"spec": two.job.spec.model_copy(update={"evaluation": fewer})})
    assert reusable(two.output.data, other, has_checkpoints=False)[0] is None


def test_answers_of_each_set_are_compared(tmp_path: Path) -> None:
    def talk(numbers: range) -> list[dict[str, Any]]:
        return [
            {
                "messages": [
                    {"role": "user", "content": f"What is {number % 8} plus {number // 8}?"},
                    {"role": "assistant", "content": f"It is {number % 8 + number // 8}."},
                ]
            }
            for number in numbers
        ]

    asked = job(
        tmp_path / "output",
        task="chat",
        model={"hiddenSize": 64, "numLayers": 2, "vocabSize": 320},
        dataset={"name": write(tmp_path / "talks" / "all.jsonl", talk(range(64))), "maxBytes": None},
        training={"maxSteps": 150, "learningRate": 5e-3, "sequenceLength": 64, "globalBatchSize": 16},
        evaluation={
            "everySteps": 0,
            "answerMetrics": ["exactMatch"],
            "maxAnswers": 4,
            "datasets": [
                named("known", write(tmp_path / "known.jsonl", talk(range(8, 24)))),
                named("wrong", write(tmp_path / "wrong.jsonl", [
                    {"prompt": row["messages"][0]["content"], "completion": "Nobody knows."}
                    for row in talk(range(8, 24))
                ])),
            ],
        },
    )  # fmt: skip
    launch = Launch(tmp_path, asked)
    assert launch.wait() == 0, launch.text()
    known, wrong = results_of(launch)["datasets"]
    assert known["answers"]["written"] == wrong["answers"]["written"] == 4
    assert known["answers"]["exactMatch"] > 0
    assert wrong["answers"]["exactMatch"] == 0
    assert known["evalLoss"] < wrong["evalLoss"]


def samples(numbers: range, label: str = "label") -> list[dict[str, Any]]:
    return [{"text": f"{SIGNS[at % 4]} over house {at}", label: SIGNS[at % 4]} for at in numbers]


def labelled_job(work: Path, **more: Any) -> JobFile:
    asked = least_spec(
        task="classification",
        model={"name": "builtin://tiny-bert", **SIZES},
        dataset={"name": write(work / "rows" / "all.jsonl", samples(range(64))), "heldOutFraction": 0.1},
        training={
            "maxSteps": 60,
            "learningRate": 3e-3,
            "sequenceLength": 24,
            "globalBatchSize": 16,
            "microBatchSize": 4,
        },
        evaluation={"everySteps": 0, **more},
    )  # fmt: skip
    return job_file(asked, work / "output", port=free_port())


def test_the_classes_of_a_set_are_those_of_the_training_data(tmp_path: Path) -> None:
    """The set has one class of the four, in a column of its own: numbered by itself it would be the first."""
    snow = [row for row in samples(range(100, 140), "weather") if row["weather"] == "snow"]
    sets = [named("snow", write(tmp_path / "snow.jsonl", snow), fields={"label": "weather"})]
    launch = Launch(tmp_path, labelled_job(tmp_path, datasets=sets))
    assert launch.wait() == 0, launch.text()
    (found,) = results_of(launch)["datasets"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(launch.output.export).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(launch.output.export)
    with torch.no_grad():
        logits = model(**tokenizer([row["text"] for row in snow], padding=True, return_tensors="pt")).logits
    right = [model.config.id2label[at] == "snow" for at in logits.argmax(-1).tolist()]
    assert found["scores"]["accuracy"] == pytest.approx(sum(right) / len(right))
    assert found["scores"]["accuracy"] > 0.9
    assert (found["tokens"], found["scores"]["classes"]) == (len(snow), 4)
    wanted = torch.full((len(snow),), model.config.label2id["snow"])
    loss = torch.nn.functional.cross_entropy(logits, wanted)
    assert found["evalLoss"] == pytest.approx(float(loss), rel=1e-4)


def test_a_model_that_is_only_measured_has_its_sets_too(tmp_path: Path) -> None:
    base = folder_of_llama(tmp_path / "model")
    near = write(tmp_path / "near.jsonl", [{"text": sentence(at)} for at in range(9)])
    asked = least_spec(
        model={"name": f"file://{base}"},
        dataset={"name": near},
        training={"sequenceLength": LENGTH},
        evaluation={"only": True, "datasets": [named("again", near)]},
    )
    facts = inspect(asked, str(base))
    told: dict[str, Any] = {"shape": facts.shape, "model": facts, "base": str(base), "port": free_port()}
    launch = Launch(tmp_path, job_file(asked, tmp_path / "output", **told))
    assert launch.wait() == 0, launch.text()
    results = results_of(launch)
    (again,) = results["datasets"]
    assert (again["evalLoss"], again["perplexity"]) == (results["evalLoss"], results["perplexity"])


REFUSED = {
    "no such file": (
        [named("gone", "file:///nowhere/at-all.jsonl")],
        "evaluation.datasets[0].source file:///nowhere/at-all.jsonl: no such folder or file",
        "check the claim and the folder's name",
    ),
    "nothing in it": (
        [named("none", "{work}/none.jsonl")],
        "evaluation.datasets[0].source {work}/none.jsonl",
        "",
    ),
    "too little": (
        [named("near", "{work}/near.jsonl"), named("few", "{work}/few.jsonl")],
        "evaluation.datasets[1].source {work}/few.jsonl is too small: no sequence of 32 tokens to measure in "
        "1 document",
        "add text, lower training.sequenceLength, or remove the set",
    ),
    "rows of another task": (
        [named("talks", "{work}/talks.jsonl")],
        "evaluation.datasets[0].source {work}/talks.jsonl: talks.jsonl line 1 is no object with a text: it "
        "has messages, which task: chat trains on",
        "or name the column that holds the text in evaluation.datasets[0].fields.text",
    ),
}


@pytest.mark.parametrize("what", REFUSED, ids=str)
def test_a_set_that_cannot_be_measured_is_refused_before_training(what: str, tmp_path: Path) -> None:
    sets, message, hint = REFUSED[what]
    (tmp_path / "none.jsonl").write_text("")
    write(tmp_path / "few.jsonl", [{"text": "short"}])
    write(tmp_path / "near.jsonl", [{"text": sentence(at)} for at in range(9)])
    write(tmp_path / "talks.jsonl", [{"messages": [{"role": "user", "content": "Hello"}]}] * 40)
    work = f"file://{tmp_path}"
    asked = text_job(tmp_path, 1)
    evaluation = {"datasets": [one | {"source": one["source"].format(work=work)} for one in sets]}
    texts = asked.spec.dataset.to_json()
    bad = job(tmp_path / "output", dataset=texts, evaluation=evaluation, training={"sequenceLength": LENGTH})
    with pytest.raises(ConfigError) as refused:
        prepare(bad, tmp_path / "data")
    assert refused.value.message.startswith(message.format(work=work)), refused.value.message
    assert hint in refused.value.hint
    assert refused.value.hint


def test_a_class_that_the_model_does_not_learn_is_named_with_its_line(tmp_path: Path) -> None:
    rows = [*samples(range(5)), {"text": "hail over house 6", "label": "hail"}]
    source = write(tmp_path / "other.jsonl", rows)
    with pytest.raises(ConfigError) as refused:
        prepare(labelled_job(tmp_path, datasets=[named("other", source)]), tmp_path / "data")
    assert refused.value.message.startswith(f"evaluation.datasets[0].source {source}: other.jsonl line 6: ")
    assert "class 'hail' is none of the 4 that the model learns" in refused.value.message
    assert refused.value.hint == "correct the label, remove the row, or train on samples with it"


def test_cleaning_does_not_touch_what_is_measured(tmp_path: Path) -> None:
    rows = [
        {"text": f"Letter {at}: write to somebody{at}@example.com, or to nobody. " * 6} for at in range(60)
    ]
    asked = job(
        tmp_path / "output",
        dataset={"name": write(tmp_path / "texts" / "all.jsonl", rows), "maxBytes": None,
                 "heldOutFraction": 0.5, "cleaning": {"mask": ["emails"]}},
        training={"sequenceLength": LENGTH},
        evaluation={"maxSequences": 512, "datasets": [named("raw", write(tmp_path / "raw.jsonl", rows))]},
    )  # fmt: skip
    prepare(asked, tmp_path / "data")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "data" / "tokenizer")
    text = tokenizer.decode(open_held_out(tmp_path / "data" / "datasets" / "raw").flatten().tolist())
    assert "somebody3@example.com" in text.replace(" ", "")


def test_jobs_that_share_a_cache_read_a_set_with_their_own_tokenizers(tmp_path: Path) -> None:
    """Both tokenizers have as many entries, and were trained on other text."""
    rows = [{"text": f"Letter {at}: write to nobody on day {at + 7}. " * 6} for at in range(20)]
    source = write(tmp_path / "set.jsonl", rows)
    for name, words in (("first", "gleam of a lantern"), ("second", "nobody on day 7: write")):
        texts = [{"text": f"{words} {at} " * 30} for at in range(40)]
        asked = job(
            tmp_path / "output",
            dataset={"name": write(tmp_path / name / "all.jsonl", texts), "maxBytes": None},
            training={"sequenceLength": LENGTH},
            evaluation={"maxSequences": 10_000, "datasets": [named("shared", source)]},
        ).model_copy(update={"cache": str(tmp_path / "cache")})
        prepare(asked, tmp_path / f"data-{name}", tokens=tmp_path / "cache")
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / f"data-{name}" / "tokenizer")
        ids = open_held_out(tmp_path / f"data-{name}" / "datasets" / "shared").flatten().tolist()
        assert tokenizer.decode(ids, skip_special_tokens=True).startswith(
            "Letter 0: write to nobody on day 7."
        )
