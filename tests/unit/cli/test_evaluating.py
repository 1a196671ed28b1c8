"""`llmtrain eval`: the job that it makes of a model and of data, and what cannot be measured so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmtrain.cli import measure
from llmtrain.cli.app import main
from llmtrain.errors import Mistake
from llmtrain.evaluating import evaluation_job
from llmtrain_api import parse_manifest
from llmtrain_operator.local import command


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """What a job leaves, and a file of texts beside it."""
    export = tmp_path / "Help Desk" / "export"
    export.mkdir(parents=True)
    (export / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (export / "README.md").write_text("---\ntags: [chat]\n---\n")
    (tmp_path / "texts.jsonl").write_text("{}")
    return export.parent


def test_an_output_is_measured_by_what_its_card_tells(output: Path) -> None:
    found = evaluation_job(
        str(output), str(output.parent / "texts.jsonl"), None, None, ["evaluation.maxSequences=9"]
    )
    metadata, spec = parse_manifest(found)
    assert metadata.name == "eval-help-desk"
    assert spec.model.name == (output / "export").as_uri()
    assert spec.dataset.name == (output.parent / "texts.jsonl").as_uri()
    assert (spec.task, spec.evaluation.only, spec.evaluation.max_sequences) == ("chat", True, 9)
    assert found["spec"]["output"] == {"uri": "pvc://evaluations/eval-help-desk", "ifExists": "new"}


def test_what_lies_elsewhere_is_named_as_in_a_manifest() -> None:
    found = evaluation_job("HuggingFaceTB/SmolLM2-135M", "pvc://data/text", None, "mine", ())
    assert found["spec"]["model"] == {"name": "HuggingFaceTB/SmolLM2-135M"}
    assert found["spec"]["dataset"] == {"name": "pvc://data/text"}
    assert found["metadata"]["name"] == "mine"
    assert "task" not in found["spec"], "the architecture's"


@pytest.mark.parametrize(
    ("model", "data", "task", "told"),
    [
        ("nothing", "pvc://data/text", None, "nothing is no folder; name the export of a job"),
        ("./no/where", "pvc://data/text", None, "./no/where is no folder"),
        ("OUTPUT", "no-file", None, "no-file: there is no such file or folder"),
        (
            "OUTPUT",
            "pvc://data/text",
            "classification",
            "was trained for classification, and what is measured",
        ),
        ("OUTPUT", "pvc://data/text", "translation", "--task: there is no task 'translation'"),
        ("OUTPUT/..", "pvc://data/text", None, "has no config.json; name the export of a job"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    output: Path, model: str, data: str, task: str | None, told: str
) -> None:
    with pytest.raises(Mistake) as refused:
        evaluation_job(model.replace("OUTPUT", str(output)), data, task, None, ())
    assert told in str(refused.value)


def test_it_runs_as_a_job_of_this_machine(
    output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Any] = []

    def run(request: command.Request, out: Any) -> int:
        ran.append((json.loads(request.manifest.read_text()), request.runs, request.new, out))
        return 1

    monkeypatch.setattr(command, "run", run)
    words = [str(output), str(tmp_path / "texts.jsonl"), "--runs", str(tmp_path / "runs")]
    assert main(["eval", *words]) == main(["eval", *words, "-o", "json"]) == 1
    (document, runs, new, out), (_, _, _, for_programs) = ran
    assert document["spec"]["evaluation"] == {"only": True}
    assert (runs, new) == (tmp_path / "runs", True)
    assert (out is measure.sys.stdout, for_programs is measure.sys.stderr) == (True, True)
    assert capsys.readouterr().out == ""
