"""``llmtrain debug``, with a kubectl that notes what it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from harness.jobs import manifest

from llmtrain.cli import debug
from llmtrain.cli.app import main
from llmtrain_api import Job

KUBECTL = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
case "$*" in
  *"get pods"*) {pods} ;;
  *exec*) {exec} ;;
esac
"""


def pods(*phases: str) -> str:
    """A pod in each phase, of node ranks from 1 on."""
    found = [
        {
            "metadata": {"name": f"tiny-2-{number}"},
            "spec": {"containers": [{"name": "trainer"}, {"name": "sidecar"}]},
            "status": {"phase": phase},
        }
        for number, phase in enumerate(phases or ("Running",), 1)
    ]
    return f"echo '{json.dumps({'items': found})}'"


NONE = "echo '{\"items\": []}'"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a kubectl; the answer is the file of its calls."""
    told = manifest(nodes=2)
    told["metadata"] |= {"namespace": "research", "uid": "u-1"}
    told["status"] = {"phase": "Running", "attempt": 2}

    def make(pods: str = pods(), code: int = 0, waits: str | None = None) -> Path:
        if waits is not None:
            told["status"] |= {"waiting": {"reason": waits, "message": "boom"}}
        job = Job.model_validate(told)
        monkeypatch.setattr(debug, "client", lambda *_: SimpleNamespace(get_job=lambda _: job))
        log, program = tmp_path / "log", tmp_path / "kubectl"
        program.write_text(KUBECTL.format(log=log, pods=pods, exec=f"exit {code}"))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        return log

    return make


def test_a_shell_in_the_trainer_of_a_rank_of_the_current_attempt(asked: Any) -> None:
    log = asked()
    assert main(["debug", "tiny", "--rank", "1", "--context", "big"]) == 0
    found, entered = log.read_text().splitlines()
    assert found.startswith("--context big -n research get pods -l ")
    for label in ("job-uid=u-1", "attempt=2", "rank=1"):
        assert label in found
    assert entered.startswith("--context big -n research exec -i tiny-2-1 -c trainer -- sh -c ")


def test_a_command_and_its_exit_code(asked: Any) -> None:
    log = asked(code=3)
    assert main(["debug", "tiny", "--", "nvidia-smi", "-L"]) == 3
    assert log.read_text().splitlines()[-1].endswith("-c trainer -- nvidia-smi -L")


def test_stacks_are_asked_of_the_trainer(asked: Any) -> None:
    log = asked()
    assert main(["debug", "tiny", "--stacks"]) == 0
    assert log.read_text().splitlines()[-1].endswith("-c trainer -- python3 -m llmtrain_trainer stacks")


@pytest.mark.parametrize(
    ("pods_said", "words", "said"),
    [
        (pods("Pending"), ["--rank", "1"], "rank 1 of tiny cannot be entered: its pod is Pending"),
        (
            "echo '{\"items\": []}'",
            [],
            "rank 0 of tiny cannot be entered: it has no pod (the job is Running)",
        ),
        (NONE, ["--rank", "2"], "--rank: got 2, and tiny has node ranks 0 to 1"),
        (pods(), ["--stacks", "--", "ls"], "--stacks is a command of its own"),
        (pods(), ["--hold", "60", "--release"], "--hold is a command of its own"),
    ],
)
def test_what_cannot_be_entered_says_why(
    asked: Any, capsys: pytest.CaptureFixture[str], pods_said: str, words: list[str], said: str
) -> None:
    log = asked(pods_said)
    assert main(["debug", "tiny", *words]) == 2
    assert said in capsys.readouterr().err
    assert not log.exists() or "exec" not in log.read_text()


def test_what_the_server_refuses_is_told(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked("echo pods is forbidden >&2; exit 1")
    assert main(["debug", "tiny"]) == 1
    assert "pods is forbidden" in capsys.readouterr().err


def test_without_kubectl_that_is_said(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert main(["debug", "tiny"]) == 2
    assert "kubectl is not here" in capsys.readouterr().err


def test_a_hold_is_released_on_every_node_that_runs(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Where only the echo of a failure ended, nobody would know its cause."""
    log = asked(pods("Running", "Failed", "Running"), waits="HeldForDebugging")
    assert main(["debug", "tiny", "--release"]) == 0
    found, *reached = log.read_text().splitlines()
    assert "job-uid=u-1" in found
    assert "/rank=" not in found
    said = "-n research exec tiny-2-{} -c trainer -- touch /scratch/release"
    assert sorted(reached) == [said.format(number) for number in (1, 3)]
    assert "2 pods end" in capsys.readouterr().out


def test_a_node_that_cannot_be_released_is_told(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    asked(code=1, waits="HeldForDebugging")
    assert main(["debug", "tiny", "--release"]) == 1
    assert "touch /scratch/release failed" in capsys.readouterr().err


@pytest.mark.parametrize("waits", [None, "NodeNotReady"])
def test_what_is_not_held_is_not_released(
    asked: Any, capsys: pytest.CaptureFixture[str], waits: str | None
) -> None:
    log = asked(waits=waits)
    assert main(["debug", "tiny", "--release"]) == 2
    assert "tiny is not held for debugging (it is Running)" in capsys.readouterr().err
    assert not log.exists()


@pytest.mark.parametrize(
    ("words", "held", "said"),
    [
        ("600", 600, "fail are held for 600 s; llmtrain debug tiny --release"),
        ("0", None, "no longer held"),
    ],
)
def test_failures_of_later_attempts_are_held(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    held: int | None,
    said: str,
) -> None:
    wanted: list[tuple[str, int | None]] = []

    def hold(name: str, seconds: int | None) -> Job:
        wanted.append((name, seconds))
        return Job.model_validate(manifest())

    monkeypatch.setattr(debug, "client", lambda *_: SimpleNamespace(hold_failures=hold))
    assert main(["debug", "tiny", "--hold", words]) == 0
    assert wanted == [("tiny", held)]
    assert said in capsys.readouterr().out
