"""The model card: what it says, what it never says, and that nothing fails for it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from harness.builders import UID, job_file, least_spec
from harness.jobs import FACTS
from harness.models.tiny import make
from harness.trainer.cards import data_of, require_card, run_snippet
from huggingface_hub import ModelCard
from structlog.testing import capture_logs

import llmtrain_trainer
from llmtrain_api import JobFile, ModelFacts, Resolved, Results, Task, task_of
from llmtrain_trainer.export import card
from llmtrain_trainer.export.card.facts import Facts, Spent, spent
from llmtrain_trainer.export.card.metadata import PIPELINES, card_data, measured
from llmtrain_trainer.export.card.text import LEARNT, card_text
from llmtrain_trainer.export.card.usage import PROGRAMS
from llmtrain_trainer.export.markdown import code, plain, table
from llmtrain_trainer.output import Output

ROOT = Path(__file__).resolve().parents[3]
HUB: dict[str, Any] = {"model": {"name": "owner/base"}, "dataset": {"name": "owner/texts/rows/*.jsonl"}}
RESULTS = Results.model_validate({"steps": 20, "trainLoss": 2.0, "evalLoss": 2.5, "perplexity": 12.2})
REPORT: dict[str, Any] = {
    "documents": {"train": 90, "heldOut": 10},
    "tokens": {"train": 12345, "heldOut": 99},
    "commits": {"owner/texts/rows/*.jsonl": "d" * 40},
    "read": {
        "files": 3,
        "bytesRead": 5000,
        "bytesNotRead": 0,
        "replacedCharacters": 2,
        "skipped": {"a form that is not read": 4},
        "droppedByCleaning": {"duplicates": 7},
        "masked": {"email": 5},
        "dialogues": {"tooLong": 6},
    },
    "samples": [[{"text": "a secret of the data", "trained": True}]],
}


def hub_job(**sections: Any) -> JobFile:
    asked, facts = least_spec(**HUB | sections), ModelFacts.model_validate(FACTS)
    return job_file(asked, shape=facts.shape, model=facts)


def facts_of(job: JobFile, **fields: Any) -> Facts:
    usual: dict[str, Any] = {
        "task": task_of(job.spec, job.shape),
        "results": RESULTS,
        "report": REPORT,
        "data": "a" * 64,
        "key": "b" * 64,
        "spent": Spent(steps=20, done=25, tokens=4000, seconds=90.0),
        "versions": {"llmtrain-trainer": "0.1.0"},
    }
    return Facts(job=job, **usual | fields)


def text_of(job: JobFile, **fields: Any) -> str:
    return card_text(facts_of(job, **fields))


def test_the_hubs_reader_takes_it_and_gives_back_what_was_said() -> None:
    text = text_of(hub_job())
    data = data_of(ModelCard(text))
    assert (data.base_model, data.base_model_relation) == ("owner/base", "finetune")
    assert (data.datasets, data.pipeline_tag) == (["owner/texts"], "text-generation")
    assert [(one.metric_type, one.metric_value) for one in data.eval_results] == [
        ("loss", 2.5),
        ("perplexity", 12.2),
    ]
    assert str(ModelCard(text)) == text, "nothing is lost or turned around on the way"
    assert data.get("language") is None
    assert data.get("license") is None


def test_the_same_facts_are_the_same_bytes() -> None:
    assert text_of(hub_job()) == text_of(
        JobFile.model_validate_json(hub_job().model_dump_json(by_alias=True))
    )


def test_lineage_has_commits_digests_and_the_job() -> None:
    text = text_of(hub_job())
    for said in ("c" * 40, "d" * 40, "a" * 64, "b" * 64, "0" * 64, UID, "`default/run`", "0.1.0"):
        assert said in text, said


def test_data_are_counted_by_reason_and_no_text_of_them_is_told() -> None:
    text = text_of(hub_job())
    for name, count in (("a form that is not read", 4), ("duplicates", 7), ("email", 5), ("tooLong", 6)):
        assert f"`{name}` | {count} |" in text
    assert "| 100 % | 90 | 10 | 12,345 |" in text
    assert "secret of the data" not in text


def test_a_mixture_has_a_row_for_each_source() -> None:
    names = ("pvc://one/a", "pvc://two/b")
    mixture = [{"name": name, "weight": weight} for name, weight in zip(names, (3, 1), strict=True)]
    sizes = {"documents": {"train": 5, "heldOut": 1}, "tokens": {"train": 50}}
    report = REPORT | {"sources": [sizes | {"name": name} for name in names]}
    text = text_of(hub_job(dataset={"mixture": mixture}), report=report)
    assert "| `pvc://one/a` | 75 % | 5 | 1 | 50 |" in text
    assert "| `pvc://two/b` | 25 % | 5 | 1 | 50 |" in text
    assert "| all | 100 % | 90 | 10 | 12,345 |" in text


def test_hyper_parameters_come_with_the_reasons_on_record() -> None:
    resolved = Resolved(
        image="registry.internal:5000/team/trainer:7@sha256:abc",
        world_size=1,
        layout="dp1",
        precision="fp32, the default on CPUs",
        micro_batch_reason="the most that fit",
        accumulation=2,
    )
    text = text_of(hub_job().model_copy(update={"resolved": resolved}))
    assert "| `training.precision` | `fp32` | fp32, the default on CPUs |" in text
    assert "| `training.microBatchSize` | `8` | the most that fit |" in text
    assert "trainer:7@sha256:abc" in text
    assert "registry.internal" not in text, "whose registry it is is nobody's business"


def test_time_is_of_all_ranks_and_of_steps_that_were_done_again() -> None:
    text = text_of(hub_job(nodes=2, processesPerNode=2))
    assert "| device time in steps | 0.1 hours of CPU processes |" in text
    assert "| steps done again after restarts | 5 |" in text
    assert "| gang | 2 nodes x 2 CPU processes |" in text


def test_no_secret_no_folder_of_a_machine_and_nothing_of_the_pod() -> None:
    job = hub_job(
        model={"name": "file:///home/somebody/models/base"},
        dataset={"name": "s3://bucket/texts", "secret": "name-of-a-secret"},
        podTemplate={"spec": {"containers": [{"name": "trainer", "env": [{"name": "K", "value": "hush"}]}]}},
        annotations={"note": "private"},
    )
    text = text_of(job.model_copy(update={"base": "/home/somebody/models/base", "output": "/mnt/output/run"}))
    for hidden in ("somebody", "/mnt/", "name-of-a-secret", "hush", "private", "scratch"):
        assert hidden not in text
    assert "`base`" in text


@pytest.mark.parametrize("name", ["a|b`c`", "x](http://evil)", "<script>", "end\n---\nlicense: mit"])
def test_a_name_cannot_write_markdown(name: str) -> None:
    assert "\n" not in code(name) + plain(name)
    assert code(name).count("`") == 2
    assert len(re.findall(r"(?<!\\)\|", table(("a", "b"), [(code(name), plain(name))]).splitlines()[-1])) == 3
    report = REPORT | {"classes": {name: {"train": 1, "heldOut": 1}}}
    found = ModelCard(text_of(hub_job(), report=report))
    assert found.data.get("license") is None
    assert "<script>" not in plain(name)


def test_classes_are_listed_up_to_a_bound() -> None:
    names = {f"class-{number}": {"train": 2, "heldOut": 1} for number in range(50)}
    text = text_of(hub_job(), report=REPORT | {"classes": names})
    assert "| `class-19` | 2 | 1 |" in text
    assert "class-20" not in text
    assert "and 30 more" in text


@pytest.mark.parametrize(
    ("merged", "relation", "library"), [(False, "adapter", "peft"), (True, "finetune", "transformers")]
)
def test_an_adapter_says_over_what(merged: bool, relation: str, library: str) -> None:
    job = hub_job(
        model={"name": "owner/base", "adapter": {"rank": 4}}, output={"uri": "pvc://c/r", "merged": merged}
    )
    text = text_of(job)
    data = data_of(ModelCard(text))
    assert (data.base_model_relation, data.library_name) == (relation, library)
    assert ("PeftModel" in text) is not merged
    assert (f'from_pretrained("owner/base", revision="{"c" * 40}")' in text) is not merged
    assert "| `model.adapter.rank` | `4` |" in text


def test_random_weights_are_of_no_base() -> None:
    facts = facts_of(hub_job(model={"name": "owner/base", "weights": "random"}))
    assert card_data(facts).base_model is None
    assert "trained from random weights, in the architecture" in card_text(facts)


def test_what_was_not_measured_is_not_told() -> None:
    text = text_of(hub_job(), results=Results(steps=20))
    assert ModelCard(text).data.get("eval_results") is None
    assert "Nothing that was measured is a number." in text
    scores = Results.model_validate(
        {"evalLoss": 1, "scores": {"samples": 4, "accuracy": 0.5, "majorityAccuracy": 0.4}}
    )
    assert [name for name, *_ in measured(scores)] == ["loss", "accuracy"]
    assert "always the most frequent class: accuracy 0.4" in text_of(hub_job(), results=scores)


def test_what_is_written_stands_beside_the_source_and_its_first_words() -> None:
    answers = {"written": 3, "bleu": 40, "copiedBleu": 4.5, "leadWords": 7, "leadRougeL": 1 / 3}
    found = Results.model_validate({"steps": 20, "answers": answers})
    assert [name for _, name, _ in measured(found)] == ["BLEU of answers"], "a baseline is no score of it"
    text = text_of(hub_job(), results=found)
    without = "the source itself: bleu 4.5; the source's first 7 words: rougeL 0.333333."
    assert f"Without a model, {without}" in text
    alone = {name: answers[name] for name in ("written", "bleu")}
    told = text_of(hub_job(), results=Results.model_validate({"steps": 20, "answers": alone}))
    assert "the source" not in told


def test_pairs_of_sentences_have_a_row_for_each_category() -> None:
    one = {"category": "a|b", "pairs": 3, "prefersA": 0.5, "gap": -1.25, "low": -2, "high": 0.5}
    told = {"source": "pvc://data/pairs.jsonl", "score": "logLikelihood", "pairs": 3, "of": 4}
    found = Results.model_validate({"steps": 20, "fairness": told | {"categories": [one]}})
    text = text_of(hub_job(), results=found)
    assert "| `a\\|b` | 3 | 0.5 | -1.25 | -2 to 0.5 |" in text
    assert "Of 3 pairs of sentences of `pvc://data/pairs.jsonl`" in text
    assert "95 % interval" not in text_of(hub_job(), results=Results(steps=20))


def test_a_penalty_is_told_with_its_pairs_and_without_a_place_of_this_machine() -> None:
    asked = hub_job(training={"fairness": {"pairs": "file:///home/anna/pairs.jsonl", "weight": 0.25}})
    text = text_of(asked, results=Results(steps=20, fairness_penalty=1.5))
    assert "| squared gap of the pairs of the last step | 1.5 nat² |" in text
    assert "| `training.fairness.pairs` | `pairs.jsonl` |" in text
    assert "| `training.fairness.weight` | `0.25` |" in text
    assert "/home/anna" not in text
    assert "squared gap" not in text_of(hub_job())


def test_an_explanation_is_pointed_at_where_there_is_one() -> None:
    explained = text_of(hub_job(), results=Results(steps=20, explained=3))
    assert "`explanation.html` shows of 3 held-out texts" in explained
    assert "explanation" not in text_of(hub_job(), results=Results(steps=20))


@pytest.mark.parametrize("task", Task)
def test_every_task_is_described(task: Task) -> None:
    assert PROGRAMS[task]
    assert LEARNT[task]
    assert task in PIPELINES


KINDS: dict[Task, tuple[str, dict[str, Any]]] = {
    Task.CAUSAL: ("llama", {}),
    Task.CHAT: ("llama", {}),
    Task.PREFERENCE: ("llama", {}),
    Task.REINFORCEMENT: ("llama", {}),
    Task.REWARD: ("llama", {"num_labels": 1}),
    Task.MASKED: ("bert", {}),
    Task.CLASSIFICATION: ("bert", {}),
    Task.REGRESSION: ("bert", {"num_labels": 1}),
    Task.TOKENS: ("bert", {}),
    Task.QUESTIONS: ("bert", {}),
    Task.SEQ2SEQ: ("t5", {}),
    Task.TEXT2TEXT: ("t5", {}),
}
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
SMALL_T5 = {
    "d_model": 32,
    "d_ff": 64,
    "num_layers": 1,
    "num_heads": 2,
    "d_kv": 16,
    "decoder_start_token_id": 0,
}


# that of images needs a processor beside the model: test_image_chat runs it
@pytest.mark.parametrize("task", [task for task in Task if task is not Task.IMAGE_CHAT])
def test_the_program_of_each_task_runs(task: Task, tmp_path: Path) -> None:
    import torch

    kind, more = KINDS[task]
    folder = make(
        tmp_path / "made", kind, task, torch.float32, **(SMALL_T5 if kind == "t5" else SMALL), **more
    )
    facts = facts_of(hub_job(), task=task)
    (folder / card.FILE).write_text(card_text(facts))
    require_card(folder)
    assert run_snippet(folder)


ROW = '{{"step": {step}, "tokens": 10, "seconds": 0.5}}\n'


def rows(folder: Path, attempt: int, *steps: int, tail: str = "") -> None:
    logs = Output(folder).logs(attempt)
    logs.mkdir(parents=True)
    lines = [ROW.format(step=step) for step in steps]
    (logs / "metrics.jsonl").write_text("".join(lines) + tail)


def test_what_was_spent_counts_each_step_once_and_each_second(tmp_path: Path) -> None:
    rows(tmp_path, 0, 1, 2, 3, tail='{"step": 4, "tok')
    rows(tmp_path, 2, 3, tail="[]\n}torn\n" + ROW.format(step=4))
    rows(tmp_path, 3, 9)
    assert spent(Output(tmp_path), attempt=2) == Spent(steps=4, done=5, tokens=40, seconds=2.5)


def test_a_pipe_in_place_of_the_rows_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    logs = Output(tmp_path).logs(0)
    logs.mkdir(parents=True)
    os.mkfifo(logs / "metrics.jsonl")
    assert spent(Output(tmp_path), attempt=0) == Spent()
    held = os.open(logs / "metrics.jsonl", os.O_RDWR)
    try:
        os.write(held, ROW.format(step=1).encode())
        assert spent(Output(tmp_path), attempt=0) == Spent()
    finally:
        os.close(held)


@pytest.mark.parametrize("text", [None, "---\n- no mapping\n---\n"])
def test_no_job_fails_for_its_card(text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> str:
        if text is None:
            raise RuntimeError("no card")
        return text

    monkeypatch.setattr(card, "gathered", lambda *_: None)
    monkeypatch.setattr(card, "card_text", broken)
    (tmp_path / card.FILE).write_text("of the base")
    unread: Any = None
    with capture_logs() as logs:
        card.write_card(unread, unread, unread, RESULTS, tmp_path)
    assert [one["event"] for one in logs] == ["the export has no model card"]
    assert not (tmp_path / card.FILE).exists(), "another card would tell of another model"


def test_the_trainer_has_the_version_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert llmtrain_trainer.__version__ == project["version"]
