"""`output.publish.mlflow`: a version of a registered model, once, whole, bounded, and no word of a token."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from harness.builders import UID, job
from harness.mlflow_registry import LOST, Server
from harness.pushes import OTHER, WEIGHTS, start_of

from llmtrain_api import JobFile, PublishedResult
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.export import publish as publishing
from llmtrain_trainer.export.publish import tries
from llmtrain_trainer.launch.tracking import require_libraries
from llmtrain_trainer.output import Output

URI = "https://mlflow.example.com"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setitem(sys.modules, "mlflow", made.module())
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret-token")
    return made


def asked_of(folder: Path, uri: str = URI) -> JobFile:
    return job(folder, output={"publish": {"mlflow": {"uri": uri, "model": "helpdesk"}}})


def push(folder: Path, waits: list[float] | None = None, uri: str = URI) -> PublishedResult:
    asked = asked_of(folder, uri)
    sleep = (lambda _: None) if waits is None else waits.append
    return publishing.publish(asked, start_of(folder, asked), sleep)


def test_the_export_is_a_version_with_its_files_and_where_it_comes_from(
    server: Server, tmp_path: Path
) -> None:
    found = push(tmp_path / "o")
    [version] = server.versions
    assert (found.mlflow, found.model_version, found.error) == ("helpdesk", "1", None)
    assert found.url == f"{URI}/#/models/helpdesk/versions/1"
    assert version.files["model/model.safetensors"] == WEIGHTS
    assert version.files["model/adapter/adapter_model.safetensors"] == b"adapter"
    assert version.source == "mlflow-artifacts:/r0/artifacts/model"
    assert (version.tags["dev.llmtrain.job-uid"], version.tags["dev.llmtrain.step"]) == (UID, "30")
    assert server.clients == [(URI, URI)]
    assert server.runs[0].ended


def test_the_page_of_a_model_with_spaces_is_one_address(server: Server, tmp_path: Path) -> None:
    asked = job(tmp_path / "o", output={"publish": {"mlflow": {"uri": f"{URI}/", "model": "help desk"}}})
    found = publishing.publish(asked, start_of(tmp_path / "o", asked), lambda _: None)
    assert (found.mlflow, found.url) == ("help desk", f"{URI}/#/models/help%20desk/versions/1")
    assert server.models == {"help desk"}


def test_what_is_told_of_a_long_name_is_no_longer_than_servers_take(server: Server, tmp_path: Path) -> None:
    name = f"pvc://data/{'/'.join(['x' * 97] * 5)}"
    publish = {"mlflow": {"uri": URI, "model": "helpdesk"}}
    asked = job(tmp_path / "o", dataset={"name": name}, output={"publish": publish})
    publishing.publish(asked, start_of(tmp_path / "o", asked), lambda _: None)
    assert len(name) == 500
    asked = job(tmp_path / "p", uid=OTHER, dataset={"name": f"{name}/{'y' * 9}"}, output={"publish": publish})
    publishing.publish(asked, start_of(tmp_path / "p", asked), lambda _: None)
    assert [one.tags["dev.llmtrain.dataset"] for one in server.versions] == [name, name]


def test_a_model_that_is_there_gets_one_more_version(server: Server, tmp_path: Path) -> None:
    server.models.add("helpdesk")
    server.versions.append(type("Version", (), {"name": "helpdesk", "tags": {}, "version": 1}))  # type: ignore[arg-type]
    assert push(tmp_path / "o").model_version == "2"
    assert "create_registered_model" not in server.called


def test_a_model_that_somebody_makes_meanwhile(server: Server, tmp_path: Path) -> None:
    server.failures["get_registered_model"] = [404]
    server.models.add("helpdesk")
    assert push(tmp_path / "o").error is None


def test_the_run_of_the_jobs_tracker_keeps_the_files(server: Server, tmp_path: Path) -> None:
    client = server.module().MlflowClient(URI, URI)
    client.create_run(client.create_experiment("llmtrain"), {"llmtrain.job-uid": UID}, "tracked")
    push(tmp_path / "o")
    [run] = server.runs
    assert run.name == "tracked"
    assert not run.ended, "its tracker says when it ends"


def test_a_restart_makes_no_second_version_with_or_without_its_record(server: Server, tmp_path: Path) -> None:
    first, calls = push(tmp_path / "o"), len(server.called)
    assert push(tmp_path / "o") == first
    assert len(server.called) == calls
    Output(tmp_path / "o").published.unlink()
    assert push(tmp_path / "o") == first
    assert len(server.versions) == 1


def test_an_answer_that_was_lost_makes_no_second_version(server: Server, tmp_path: Path) -> None:
    server.failures["create_model_version"] = [LOST]
    assert push(tmp_path / "o").model_version == "1"
    assert len(server.versions) == 1


@pytest.mark.parametrize(
    "place",
    [
        "get_registered_model",
        "search_model_versions",
        "create_run",
        "log_artifacts",
        "create_model_version",
    ],
)
def test_what_passes_is_tried_again(place: str, server: Server, tmp_path: Path) -> None:
    server.failures[place] = [503, 429]
    waits: list[float] = []
    assert push(tmp_path / "o", waits).error is None
    assert waits == [5.0, 10.0]
    assert len(server.versions) == 1


def test_files_that_did_not_arrive_are_no_version(server: Server, tmp_path: Path) -> None:
    server.failures["log_artifacts"] = [503] * tries.TRIES
    found = push(tmp_path / "o")
    assert (found.error or "").startswith("MLflow answers 503 (MlflowException: log_artifacts")
    assert "s3cret-token" not in (found.error or "")
    assert server.versions == []


def test_a_server_that_is_away_is_not_said_to_have_answered(server: Server, tmp_path: Path) -> None:
    server.failures["get_registered_model"] = [500] * tries.TRIES
    waits: list[float] = []
    found = push(tmp_path / "o", waits)
    assert (found.error or "").startswith("MlflowException: get_registered_model")
    assert len(waits) == tries.TRIES - 1


@pytest.mark.parametrize(("status", "fix"), [(403, "MLFLOW_TRACKING_TOKEN"), (413, "log-artifacts")])
def test_what_is_refused_for_good_is_told_at_once_with_the_fix(
    status: int, fix: str, server: Server, tmp_path: Path
) -> None:
    server.failures["log_artifacts"] = [status]
    waits: list[float] = []
    found = push(tmp_path / "o", waits)
    assert f"MLflow answers {status}" in (found.error or "")
    assert fix in (found.error or "")
    assert waits == []


def test_an_image_without_the_library_is_told_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        require_libraries(asked_of(tmp_path))
    assert "spec.output.publish.mlflow: the image has no mlflow" in str(caught.value)
    assert "pip install mlflow-skinny" in caught.value.hint
    require_libraries(job(tmp_path, output={"publish": {"hub": "acme/helpdesk"}}))


def test_the_library_hears_of_its_own_secret_waits_for_nothing_long_and_tells_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # what the process of the push sets is gone with it, and here with the test
    monkeypatch.setattr(os, "environ", {"PUBLISH_MLFLOW_TRACKING_TOKEN": "t", "PUBLISH_HF_TOKEN": "h"})
    publishing.mlflow.prepare_process()
    assert os.environ["MLFLOW_TRACKING_TOKEN"] == "t"
    assert "HF_TOKEN" not in os.environ
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "120"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
