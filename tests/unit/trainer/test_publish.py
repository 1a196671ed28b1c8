"""`output.publish` over real HTTP: once, whole, bounded, and never a word of the token."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from harness.builders import UID, job
from harness.hub_uploads import BEFORE, CUT, Uploads, writable_hub
from huggingface_hub import constants
from huggingface_hub.utils import _http

from llmtrain_api import FailureClass, JobFile, PublishedResult, Results
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.errors import ConfigError, Fenced, Interrupted
from llmtrain_trainer.export import publish as publishing
from llmtrain_trainer.export.publish import tries
from llmtrain_trainer.files import read_json, write_json
from llmtrain_trainer.launch import training as stage
from llmtrain_trainer.launch.attempt import Attempt
from llmtrain_trainer.launch.root_cause import Verdict
from llmtrain_trainer.launch.torchrun import Failed, Stop
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import OwnerRecord, PublishedRecord
from llmtrain_trainer.storage.base import OutputStore
from llmtrain_trainer.storage.start_marker import Start

HUB = "acme/helpdesk"
# huggingface_hub's own way to call httpx
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
WEIGHTS = b"weights " * 4000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Uploads]:
    with writable_hub() as made:
        # what the process of the push sets before the library is loaded
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_ENDPOINT", made.server.endpoint)
        monkeypatch.setenv("HF_TOKEN", made.token)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(_http.time, "sleep", lambda _: None)
        yield made


def start_of(folder: Path, asked: JobFile, holder: str = "pod") -> Start:
    output = Output(folder)
    folder.mkdir(exist_ok=True)
    write_json(output.owner, OwnerRecord(job_uid=asked.job.uid).to_json())
    output.export.mkdir(exist_ok=True)
    (output.export / "model.safetensors").write_bytes(WEIGHTS)
    (output.export / "config.json").write_text("{}")
    (output.export / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A model\n")
    return Start(raise_fence(output, asked, holder), None, {})


def asked_of(folder: Path, **publish: object) -> JobFile:
    return job(folder, output={"publish": {"hub": HUB, **publish}})


def push(folder: Path, **publish: object) -> PublishedResult:
    asked = asked_of(folder, **publish)
    return publishing.publish(asked, start_of(folder, asked), lambda _: None)


def test_the_folder_is_one_commit_in_a_private_repository(server: Uploads, tmp_path: Path) -> None:
    found = push(tmp_path / "o")
    [commit] = server.commits
    assert found.error is None
    assert (found.commit, found.revision) == (commit.id, "main")
    assert found.url == f"{server.server.endpoint}/{HUB}/commit/{commit.id}"
    assert server.files(HUB)["model.safetensors"] == WEIGHTS
    assert server.files(HUB)["config.json"] == b"{}"
    assert server.private == {HUB: True}
    assert UID in commit.message


def test_a_branch_and_a_public_repository(server: Uploads, tmp_path: Path) -> None:
    found = push(tmp_path / "o", revision="v2", private=False)
    assert found.revision == "v2"
    assert "model.safetensors" in server.files(HUB, "v2")
    assert "model.safetensors" not in server.files(HUB)
    assert server.private == {HUB: False}


def test_weights_of_another_model_go_and_all_else_stays(server: Uploads, tmp_path: Path) -> None:
    there = {
        "model-00001-of-00002.safetensors": b"old",
        "model.safetensors.index.json": b"{}",
        "LICENSE": b"mine",
    }
    server.server.repository(f"models/{HUB}", there)
    assert push(tmp_path / "o").error is None
    assert set(server.files(HUB)) == {"model.safetensors", "config.json", "README.md", "LICENSE"}


def test_a_restart_pushes_nothing_and_tells_the_same_commit(server: Uploads, tmp_path: Path) -> None:
    first, requests = push(tmp_path / "o"), len(server.server.asked)
    assert push(tmp_path / "o") == first
    assert len(server.server.asked) == requests
    assert len(server.commits) == 1


def test_a_restart_without_its_record_finds_the_commit_on_the_hub(server: Uploads, tmp_path: Path) -> None:
    """The process died after the hub had taken the commit; its card would be another one the second time."""
    first = push(tmp_path / "o")
    Output(tmp_path / "o").published.unlink()
    asked = asked_of(tmp_path / "o")
    start = start_of(tmp_path / "o", asked)
    (start.output.export / "README.md").write_text("another card")
    assert publishing.publish(asked, start, lambda _: None) == first
    assert len(server.commits) == 1


def test_another_job_in_the_same_folder_pushes_its_own(server: Uploads, tmp_path: Path) -> None:
    push(tmp_path / "o")
    other = job(tmp_path / "o", uid="22222222-aaaa-4bbb-8ccc-000000000000", output={"publish": {"hub": HUB}})
    Output(tmp_path / "o").fence.unlink()
    start = start_of(tmp_path / "o", other)
    (start.output.export / "config.json").write_text('{"a": 1}')
    publishing.publish(other, start, lambda _: None)
    assert len(server.commits) == 2


@pytest.mark.parametrize(
    "place", ["repos/create", "preupload", "objects/batch", "PUT /lfs", "POST .*/commit/main"]
)
@pytest.mark.parametrize("fault", [503, BEFORE])
def test_what_passes_is_tried_again(place: str, fault: int, server: Uploads, tmp_path: Path) -> None:
    server.failures[place] = [fault, fault]
    assert push(tmp_path / "o").error is None
    assert len(server.commits) == 1
    assert server.failures[place] == []


def test_an_answer_that_was_lost_makes_no_second_commit(server: Uploads, tmp_path: Path) -> None:
    server.failures["POST .*/commit/main"] = [CUT]
    found = push(tmp_path / "o")
    assert found.error is None
    assert [one.id for one in server.commits] == [found.commit]


def test_a_hub_that_is_away_is_given_up_after_a_few_tries(server: Uploads, tmp_path: Path) -> None:
    server.failures["repos/create"], server.stays = [503], True
    waits: list[float] = []
    asked = asked_of(tmp_path / "o")
    found = publishing.publish(asked, start_of(tmp_path / "o", asked), waits.append)
    assert found.commit is None
    assert found.error is not None
    assert found.error.startswith("the hub answers 503")
    assert "hf upload acme/helpdesk" in found.error
    assert waits == [5.0, 10.0, 20.0, 40.0]


@pytest.mark.parametrize("token", ["hf_reader0123456789abcdef", ""])
def test_a_token_that_may_not_write_is_told_at_once_with_the_fix(
    token: str, server: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.token != token
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    waits: list[float] = []
    asked = asked_of(tmp_path / "o")
    found = publishing.publish(asked, start_of(tmp_path / "o", asked), waits.append)
    assert found.error is not None
    assert "by a Secret that spec.output.publish.secret names" in found.error
    assert ("403" if token else "there is no HF_TOKEN") in found.error
    assert waits == []


def test_no_word_of_a_token_or_a_signed_address_is_told(
    server: Uploads, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    server.failures["PUT /lfs"] = [403]
    with caplog.at_level(logging.DEBUG):
        found = push(tmp_path / "o")
    told = capfd.readouterr()
    told_text = (found.error or "") + told.out + told.err + Output(tmp_path / "o").published.read_text()
    assert "403" in (found.error or "")
    assert server.token not in told_text
    assert "X-Amz" not in told_text
    assert "signed" not in told_text


def test_a_hub_that_never_answers_is_no_end_of_the_world(
    server: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(tries, "TRIES", 2)
    over, original = threading.Event(), server.answer

    def silent(request: object, path: str, body: bytes) -> bool:
        if path == "/api/repos/create":
            over.wait(30)
            request.close_connection = True  # type: ignore[attr-defined]
            return True
        return original(request, path, body)  # type: ignore[arg-type]

    server.server.before = silent
    found = push(tmp_path / "o")
    over.set()
    assert found.error is not None
    assert "Timeout" in found.error


def test_an_attempt_that_lost_the_output_pushes_nothing(server: Uploads, tmp_path: Path) -> None:
    asked = asked_of(tmp_path / "o")
    start = start_of(tmp_path / "o", asked)
    newer = asked.model_copy(update={"attempt": 1})
    raise_fence(Output(tmp_path / "o"), newer, "another pod")
    with pytest.raises(Fenced):
        publishing.publish(asked, start, lambda _: None)
    assert server.commits == []


def test_a_card_that_the_hub_refuses_is_told_at_once(
    server: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    def refused(*_: object, **__: object) -> None:
        raise ValueError("Invalid metadata in README.md.")

    monkeypatch.setattr(HfApi, "_validate_yaml", refused)
    waits: list[float] = []
    asked = asked_of(tmp_path / "o")
    found = publishing.publish(asked, start_of(tmp_path / "o", asked), waits.append)
    assert "Invalid metadata" in (found.error or "")
    assert waits == []
    assert server.commits == []


def attempt_of(folder: Path, verb: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Attempt:
    """An attempt whose export is written, and whose process that pushes is a function."""
    asked = asked_of(folder)
    start = start_of(folder, asked)
    write_json(start.output.results, Results(steps=4, eval_loss=2.0).to_json())
    monkeypatch.setattr(Attempt, "run_verb", lambda *_: verb())
    found = Attempt(asked, "job.json", 0, cast("OutputStore", None), Stop())
    found.start = start
    return found


def results_after(attempt: Attempt) -> Results:
    asked = attempt.job.spec.output.publish
    assert asked is not None
    assert attempt.start is not None
    stage.publish(attempt, asked)
    return Results.model_validate(read_json(attempt.start.output.results))


@pytest.mark.parametrize(
    "failure",
    [
        Failed(Verdict(FailureClass.OUT_OF_MEMORY, "publish was killed by signal 9")),
        ConfigError("the image has no huggingface_hub", "build it"),
        None,
    ],
)
def test_however_the_push_ends_the_job_goes_on_to_its_end(
    failure: Exception | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verb() -> None:
        if failure is not None:
            raise failure

    found = results_after(attempt_of(tmp_path / "o", verb, monkeypatch))
    assert found.steps == 4
    assert found.published is not None
    assert found.published.error == (str(failure) if failure else "the process that pushes has left no word")


def test_what_the_push_has_left_is_in_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "o"
    pushed = PublishedResult(hub=HUB, revision="main", commit="abc", url="https://hub/c")

    def verb() -> None:
        record = PublishedRecord(job_uid=UID, published=pushed)
        write_json(Output(folder).published, record.to_json())

    assert results_after(attempt_of(folder, verb, monkeypatch)).published == pushed


def test_a_stop_meanwhile_is_no_failed_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt pushes: nothing is put on record."""

    def verb() -> None:
        raise Interrupted("asked to stop while publish ran")

    attempt = attempt_of(tmp_path / "o", verb, monkeypatch)
    with pytest.raises(Interrupted):
        results_after(attempt)
    assert "published" not in (read_json(Output(tmp_path / "o").results) or {})
