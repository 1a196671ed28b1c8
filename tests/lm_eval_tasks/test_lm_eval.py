"""``evaluation.tasks`` with the real library: what it says of an export, and what it may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from harness.builders import job
from harness.lm_tasks import CHOICES, ROWS, libraries, write_tasks
from harness.trainer.launches import Launch

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def lm_eval() -> Path:
    return libraries()


def launched(work: Path, lm_eval: Path, folder: Path, **asked: Any) -> Launch:
    file = job(
        work / "output",
        dataset={"maxBytes": 200_000},
        processesPerNode=1,
        training={"maxSteps": 4, "sequenceLength": 64, "microBatchSize": 4, "globalBatchSize": 8},
        evaluation={"everySteps": 0, "tasks": {"folder": f"file://{folder}", **asked}},
    )
    launch = Launch(work, file, libraries=lm_eval, cold=True)
    assert launch.wait() == 0, launch.text()
    return launch


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, lm_eval: Path) -> Launch:
    work = tmp_path_factory.mktemp("measured")
    return launched(work, lm_eval, write_tasks(work / "tasks"), names=["weather", "told"], limit=6)


def tasks_of(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.output.results.read_text())["tasks"]
    return found


@torch.no_grad()
def likelihood(model: Any, tokenizer: Any, context: str, text: str) -> float:
    """Of a text after a context, in nat, one by one and without padding."""
    whole, before = (tokenizer(one)["input_ids"] for one in (context + text, context))
    logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(logits[at - 1, whole[at]]) for at in range(len(before), len(whole)))


def test_choices_are_those_that_the_export_finds_likeliest(measured: Launch) -> None:
    """By log-likelihoods of our own, also by the length of each choice in bytes."""
    export = measured.output.export
    model = transformers.AutoModelForCausalLM.from_pretrained(export, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(export)
    right = {"acc": 0, "acc_norm": 0}
    for at in range(6):
        found = [likelihood(model, tokenizer, f"What was over house {at}?", f" {one}") for one in CHOICES]
        normed = [one / len(choice) for one, choice in zip(found, CHOICES, strict=True)]
        right["acc"] += max(range(3), key=found.__getitem__) == at % 3
        right["acc_norm"] += max(range(3), key=normed.__getitem__) == at % 3
    figures = {one["metric"]: one for one in tasks_of(measured)["figures"] if one["task"] == "weather"}
    assert {name: figures[name]["value"] for name in right} == pytest.approx(
        {name: count / 6 for name, count in right.items()}
    )


def test_each_figure_says_of_how_many_rows_and_which_version_it_is(measured: Launch) -> None:
    told = tasks_of(measured)
    assert told["library"] == "0.4.13"
    assert {(one["task"], one["rows"], one["of"], one["version"]) for one in told["figures"]} == {
        ("weather", 6, ROWS, "2.5"),
        ("told", 6, ROWS, "1"),
    }
    (exact,) = [one for one in told["figures"] if one["task"] == "told"]
    assert exact["metric"] == "exact_match"
    assert exact["value"] == 0, "four steps teach nobody the weather"
    share = next(one for one in told["figures"] if one["metric"] == "acc")
    assert share["stderr"] == pytest.approx((share["value"] * (1 - share["value"]) / 5) ** 0.5, abs=1e-6)


def test_they_are_told_wherever_results_are(measured: Launch) -> None:
    told = tasks_of(measured)
    assert measured.message()["results"]["tasks"] == told
    card = (measured.output.export / "README.md").read_text()
    assert "On tasks of the lm-evaluation-harness (`lm_eval` 0.4.13):" in card
    assert "| `weather` | 2.5 | acc |" in card


@pytest.mark.parametrize("way", ["template", "metric"])
def test_a_folder_that_may_not_run_code_runs_none(way: str, lm_eval: Path, tmp_path: Path) -> None:
    """Where its files name no Python, a template or a metric that is a file of the folder could still."""
    mark = tmp_path / "ran"
    text = (
        "\"{{ cycler.__init__.__globals__.os.system('touch " + str(mark) + "') }}\""
        if way == "template"
        else '"{{question}}"'
    )
    metric = "./own.py" if way == "metric" else "exact_match"
    yaml = (
        "task: evil\ndataset_path: json\ndataset_kwargs: {data_files: {test: weather.jsonl}}\n"
        f"test_split: test\noutput_type: generate_until\ndoc_to_text: {text}\n"
        'doc_to_target: "{{choices[answer]}}"\ngeneration_kwargs: {until: ["\\n"], max_gen_toks: 2}\n'
        f"metric_list: [{{metric: {metric}, aggregation: mean, higher_is_better: true}}]\n"
    )
    own = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    folder = write_tasks(tmp_path / "tasks", **{"evil.yaml": yaml, "own.py": own})
    launch = launched(tmp_path, lm_eval, folder, names=["evil"])
    assert not mark.exists()
    assert tasks_of(launch)["figures"] == []
    assert tasks_of(launch)["error"]
    assert launch.message()["outcome"] == "Complete"


def test_code_runs_where_the_job_allows_it(lm_eval: Path, tmp_path: Path) -> None:
    yaml = "include: weather.yaml\ntask: own\nprocess_docs: !function own.half\n"
    own = "def half(docs):\n    return docs.select(range(4))\n"
    folder = write_tasks(tmp_path / "tasks", **{"own.yaml": yaml, "own.py": own})
    launch = launched(tmp_path, lm_eval, folder, names=["own"], code=True)
    assert {one["of"] for one in tasks_of(launch)["figures"]} == {4}
