"""`Client("local")`: what it makes of the records, logs and curves that `llmtrain run` leaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from harness.children import PYTHONPATH
from harness.jobs import T0, UID, manifest, running

from llmtrain import AlreadyThere, Client, Failed, Mistake, NotFound, Phase, TimedOut
from llmtrain.cli.app import main
from llmtrain.local_backend import LocalBackend
from llmtrain.runs import followed, metrics_of
from llmtrain_api import Attempt, Checkpoint, Failure, FailureClass, JobStatus, changed
from llmtrain_operator.local.saved_jobs import JobFolder


class Machine:
    """A folder of claims in which `llmtrain run` has run jobs."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "runs"
        (self.runs / ".llmtrain").mkdir(parents=True)
        self.client = Client("local", runs=self.runs)

    def has(self, name: str, status: JobStatus) -> JobFolder:
        folder = JobFolder(self.runs, "default", name)
        body = manifest(name)
        body["metadata"] |= {"uid": UID, "generation": 1, "resourceVersion": "9"}
        folder.save(body | {"status": status.to_json()}, str(self.runs / "checkpoints" / name))
        return folder

    def curve(self, name: str, attempt: int, rows: list[dict[str, Any]], torn: str = "") -> None:
        root = self.runs / "checkpoints" / name
        logs = root / "logs" / f"attempt-{attempt}"
        logs.mkdir(parents=True)
        (root / "OWNER").write_text(json.dumps({"jobUid": UID}))
        (logs / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + torn)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    # for the programs that it begins: they are not installed here
    monkeypatch.setenv("PYTHONPATH", PYTHONPATH)
    return Machine(tmp_path)


def test_a_job_that_nobody_runs_stands_still_and_one_that_somebody_runs_does_not(machine: Machine) -> None:
    folder = machine.has("tiny", running(checkpoint=Checkpoint(step=50)))
    stands = machine.client.get_job("tiny").status
    assert (stands.phase, stands.waiting and stands.waiting.reason) == (Phase.SUSPENDED, "NotRunning")
    assert "step 50 is saved" in (stands.waiting.message if stands.waiting else "")
    with folder.locked():
        assert machine.client.get_job("tiny").status.phase is Phase.RUNNING
        assert [job.metadata.name for job in machine.client.list_jobs()] == ["tiny"]
    machine.has("over", JobStatus(phase=Phase.SUCCEEDED))
    assert machine.client.get_job("over").status.phase is Phase.SUCCEEDED
    assert machine.client.list_jobs(namespace="other") == []


def test_what_is_not_there_is_told(machine: Machine) -> None:
    machine.has("helpdesk", running())
    with pytest.raises(NotFound, match="did you mean helpdesk"):
        machine.client.get_job("helpdsk")
    with pytest.raises(NotFound):
        machine.client.get_job("../helpdesk")
    with pytest.raises(AlreadyThere, match="already"):
        machine.client.train(manifest("helpdesk"))


def test_the_curve_is_stitched_and_a_torn_line_is_no_row(machine: Machine) -> None:
    machine.has("tiny", running())
    machine.curve(
        "tiny", 0, [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 8.0}, {"step": 3, "loss": 7.5}], '{"step"'
    )
    machine.curve("tiny", 2, [{"step": 3, "loss": 7.0}, {"step": 4, "loss": 6.0}])
    machine.curve("tiny", 10, [{"step": 4, "loss": 5.0}])
    rows = [(row["attempt"], row["step"], row["loss"]) for row in machine.client.metrics("tiny")]
    assert rows == [(0, 1, 9.0), (0, 2, 8.0), (2, 3, 7.0), (10, 4, 5.0)]
    assert metrics_of(machine.runs / "nothing") == []


def test_the_curve_is_drawn_as_it_grows(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has("tiny", JobStatus(phase=Phase.SUCCEEDED, attempt=0))
    machine.curve("tiny", 0, [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 3.0}])
    assert machine.client.curve("tiny").points == ((1, 9.0), (2, 3.0))
    assert machine.client.live("tiny").status.phase is Phase.SUCCEEDED
    assert capsys.readouterr().out == "tiny  Succeeded: loss 9 at step 1, 3 at step 2\n"


def test_logs_stay_by_rank_and_attempt(machine: Machine) -> None:
    failure = Failure(failure_class=FailureClass.USER_ERROR, message="boom", rank=1)
    folder = machine.has("tiny", running(1, phase=Phase.FAILED, failure=failure))
    logs = folder.folder / "logs"
    logs.mkdir(parents=True)
    (logs / "tiny-1-1.log").write_text("first\nlast\n")
    (logs / "tiny-0-0.log").write_text("earlier\n")
    client = machine.client
    assert [line.text for line in client.get_job_logs("tiny")] == ["first", "last"], "who failed first"
    assert [line.text for line in client.get_job_logs("tiny", tail=1)] == ["last"]
    assert [line.text for line in client.get_job_logs("tiny", tail=0)] == []
    assert [line.text for line in client.get_job_logs("tiny", rank=0, attempt=0)] == ["earlier"]
    assert [line.source for line in client.get_job_logs("tiny", follow=True)] == ["tiny-1-1", "tiny-1-1"]
    with pytest.raises(NotFound, match=r"tiny-1-0\.log"):
        list(client.get_job_logs("tiny", rank=0))


def test_a_log_is_followed_until_its_writer_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "tiny-0-0.log"
    file.write_text("one\ntw")
    asked = iter(("o\nthree\n", "", None))

    def goes_on() -> bool:
        more = next(asked)
        with file.open("a") as log:
            log.write(more or "four")
        return more is not None

    assert [line.text for line in followed(file, goes_on)] == ["one", "two", "three", "fourfour"]


def test_events_come_from_the_record(machine: Machine) -> None:
    ended = Attempt(
        number=0, started_at=T0, ended_at=T0, failure_class=FailureClass.HANG, message="rank 1 stood"
    )
    machine.has("tiny", running(1, attempts=[ended, Attempt(number=1, started_at=T0, resumed_step=50)]))
    told = [(event.kind, event.reason, event.message) for event in machine.client.get_job_events("tiny")]
    assert told == [
        ("Normal", "Started", "attempt 0 begins"),
        ("Warning", "Hang", "attempt 0 ended: rank 1 stood"),
        ("Normal", "Started", "attempt 1 begins from step 50"),
    ]


def test_to_wait_ends_in_time_and_with_the_reason(machine: Machine) -> None:
    machine.has("tiny", running(checkpoint=Checkpoint(step=7)))
    assert (
        machine.client.wait_for_job_status("tiny", ["Suspended"], timeout=1).status.phase is Phase.SUSPENDED
    )
    with pytest.raises(TimedOut, match="tiny is Suspended after 0 s"):
        machine.client.wait_for_job_status("tiny", timeout=0.05)
    failure = Failure(failure_class=FailureClass.HANG, message="rank 1 stood", hint="look at it")
    machine.has("tiny", changed(running(), phase=Phase.FAILED, failure=failure))
    with pytest.raises(Failed, match=r"tiny is Failed: Hang: rank 1 stood \(look at it\)"):
        machine.client.wait_for_job_status("tiny", timeout=5)


def test_a_job_is_forgotten_with_all_that_is_kept_of_it_but_its_output(machine: Machine) -> None:
    folder = machine.has("tiny", running())
    machine.curve("tiny", 0, [{"step": 1}])
    with folder.locked():
        pass
    machine.client.delete_job("tiny")
    assert list((machine.runs / ".llmtrain").iterdir()) == []
    assert (machine.runs / "checkpoints" / "tiny" / "OWNER").exists()


def test_a_job_is_forgotten_when_the_process_that_ran_it_has_ended(machine: Machine) -> None:
    folder = machine.has("tiny", running())
    backend = LocalBackend(machine.runs)
    # one that has let go of the job, and takes its time to end
    with subprocess.Popen(["sleep", "0.5"]) as process:
        backend._started[process.pid] = process
        (machine.runs / ".llmtrain" / "tiny.lock").write_text(str(process.pid))
        backend.delete("default", "tiny")
        assert process.returncode == 0
    assert folder.load() is None


def test_a_job_that_is_refused_leaves_nothing(machine: Machine) -> None:
    with pytest.raises(Mistake, match=r"spec\.output\.uri"):
        machine.client.train(manifest(output={"uri": "s3://bucket/run"}))
    assert list((machine.runs / ".llmtrain").iterdir()) == []
    assert machine.client.train(manifest(), dry_run=True).metadata.name == "tiny"
    assert machine.client.list_jobs() == []


def test_the_verbs_look_at_runs_of_this_machine(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.has("tiny", running(checkpoint=Checkpoint(step=50)))
    runs = ["--runs", str(machine.runs)]
    assert main(["ls", *runs]) == 0
    assert "Suspended" in capsys.readouterr().out
    assert main(["why", "tiny", *runs]) == 0
    assert "no process runs it; step 50 is saved" in capsys.readouterr().out
    assert main(["checkpoints", "tiny", *runs]) == 0
    assert "50" in capsys.readouterr().out
    assert main(["show", "tyni", *runs]) == 3


def test_the_verbs_steer_runs_of_this_machine(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.has("tiny", running(checkpoint=Checkpoint(step=50)))
    begun: list[list[str]] = []

    def refuses(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        begun.append(command)
        return popen(["sh", "-c", "echo no; exit 2"], **options)

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", refuses)
    runs = ["--runs", str(machine.runs)]
    assert main(["stop", "tiny", *runs]) == 0, "nobody runs it, so that it stands still already"
    assert f"llmtrain resume tiny --runs {machine.runs} goes on" in capsys.readouterr().out
    assert main(["resume", "tiny", *runs]) == 2
    assert capsys.readouterr().err == "error: no\n"
    [[*_, verb, file, first, folder, second, output]] = begun
    assert (verb, first, second) == ("run", "--runs", "--output")
    assert (folder, output) == (str(machine.runs), str(machine.runs / "checkpoints" / "tiny"))
    again = json.loads(Path(file).read_text())
    assert again["spec"] == machine.client.get_job("tiny").spec, "`llmtrain run` began it, of another file"
    assert main(["retry", "tiny", *runs]) == 2
    assert "only a job that is over" in capsys.readouterr().err
    assert main(["clone", "tiny", "other", "--set", "nodez=1", *runs]) == 2
    assert "spec.nodez" in capsys.readouterr().err
    assert main(["delete", "tiny", *runs]) == 0
    assert "its output stays in pvc://checkpoints/tiny" in capsys.readouterr().out
    assert main(["ls", *runs]) == 0
    assert f"no job was run in {machine.runs}; `llmtrain run" in capsys.readouterr().out
