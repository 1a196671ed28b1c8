"""The files of ``evaluation.tasks``: which may run, and what the library's answer comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.lm_tasks import write_tasks

from llmtrain_api.schema.evaluation_tasks import EvaluationTasks
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.evaluate.task_files import require_readable
from llmtrain_trainer.export.harness import figures_of

WHERE = "spec.evaluation.tasks"


def asked(*names: str, code: bool = False) -> EvaluationTasks:
    return EvaluationTasks(folder="pvc://tasks/ours", names=list(names), code=code)


def refused(folder: Path, *names: str) -> str:
    with pytest.raises(ConfigError) as error:
        require_readable(asked(*names), folder)
    assert error.value.hint
    return str(error.value)


def test_tasks_groups_and_tags_of_a_folder_may_run(tmp_path: Path) -> None:
    folder = write_tasks(
        tmp_path / "tasks",
        **{
            "all.yaml": "group: all\ntask: [weather, {task: told}]\n",
            "tagged.yaml": "include: weather.yaml\ntask: tagged\ntag: [short]\n",
        },
    )
    require_readable(asked("weather", "told", "all", "tagged", "short"), folder)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write_tasks(tmp_path / "tasks", **{"all.yaml": "group: all\ntask: [weather, gone]\n"})
    told = refused(folder, "hellaswag")
    assert told.startswith(
        f"{WHERE}.names: pvc://tasks/ours has no task hellaswag in a .yaml file; it has: all"
    )
    assert "has no task gone" in refused(folder, "all")
    assert f"{WHERE}.folder pvc://tasks/ours: no such folder" in refused(tmp_path / "nowhere", "weather")


CODE = {
    "a function": "include: weather.yaml\ntask: bad\nprocess_docs: !function own.docs\n",
    "a class": "class: own.Task\ntask: bad\nmetadata: {version: 1}\n",
    "a function that is included": "include: part.txt\ntask: bad\n",
    "a function of a part": "group: bad\ntask: [weather, part]\n",
}


@pytest.mark.parametrize("what", CODE)
def test_code_is_refused_unless_the_job_allows_it(what: str, tmp_path: Path) -> None:
    part = "task: part\nmetric_list:\n  - metric: !function own.metric\n"
    more = {"bad.yaml": CODE[what], "part.yaml": part, "part.txt": part}
    folder = write_tasks(tmp_path / "tasks", **more)
    told = refused(folder, "bad")
    place = {
        "a function": "bad.yaml line 3",
        "a class": "bad.yaml line 1",
        "a function of a part": "part.yaml line 3",
    }
    assert f"{WHERE}: {place.get(what, 'part.txt line 3')} names Python code, which does not run" in told
    assert f"or set {WHERE}.code" in told
    require_readable(asked("bad", code=True), folder)
    require_readable(asked("weather"), folder)


def test_data_come_from_files_that_run_nothing(tmp_path: Path) -> None:
    pickled = "include: weather.yaml\ntask: bad\ndataset_path: pandas\n"
    folder = write_tasks(tmp_path / "tasks", **{"bad.yaml": pickled})
    told = refused(folder, "bad")
    assert "bad.yaml has dataset_path 'pandas', and nothing is fetched or run for data" in told
    assert "use one of json, csv, parquet, text" in told


def test_a_file_outside_of_the_folder_is_not_included(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("task: other\nprocess_docs: !function own.docs\n")
    folder = write_tasks(tmp_path / "tasks", **{"bad.yaml": "include: ../other.yaml\ntask: bad\n"})
    assert "bad.yaml includes ../other.yaml, which is no file of the folder" in refused(folder, "bad")


def test_what_is_no_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    folder = write_tasks(tmp_path / "tasks", **{"bad.yaml": "task: bad\nmetric_list: [\n"})
    assert f"{WHERE}: bad.yaml line 3 is no YAML that can be read" in refused(folder, "weather")
    (folder / "bad.yaml").write_bytes(b"task: \xff\xfe")
    assert f"{WHERE}: bad.yaml is no YAML that can be read" in refused(folder, "weather")


def test_figures_are_metrics_of_tasks_with_their_errors() -> None:
    told: dict[str, Any] = {
        "results": {
            "b": {
                "alias": "b",
                "sample_len": 4,
                "acc,none": 0.5,
                "acc_stderr,none": 0.25,
                "f1,strict": float("nan"),
            },
            "a": {"alias": "a", "exact_match,strict": 0.75, "exact_match_stderr,strict": "N/A"},
            "group": {"alias": "group", "acc,none": 0.5},
        },
        "versions": {"a": 1.5, "b": "Yaml"},
        "n-samples": {"a": {"original": 9, "effective": 4}, "b": {"original": 9, "effective": 9}},
    }
    assert [one.to_json() for one in figures_of(told)] == [
        {"task": "a", "metric": "exact_match,strict", "value": 0.75, "rows": 4, "of": 9, "version": "1.5"},
        {"task": "b", "metric": "acc", "value": 0.5, "stderr": 0.25, "rows": 9, "of": 9, "version": "Yaml"},
    ]
