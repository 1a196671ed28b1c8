"""A node that has failed ends later: by itself, when it is released, or when it is asked to stop."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from harness.builders import job

from llmtrain_api import Outcome, TerminationMessage
from llmtrain_api.names import RELEASE_FILE
from llmtrain_trainer.launch import hold
from llmtrain_trainer.launch.hold import seconds_to_hold
from llmtrain_trainer.launch.torchrun import Stop

PATIENCE = 60.0


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_what_failed_is_held(tmp_path: Path, outcome: Outcome) -> None:
    """What was asked to stop, is done, or was overtaken by a newer attempt is in nobody's interest."""
    asked = job(tmp_path / "output", recovery={"holdSeconds": 600})
    seconds = seconds_to_hold(asked, TerminationMessage(outcome=outcome))
    assert seconds == (600 if outcome is Outcome.FAILED else 0)
    assert seconds_to_hold(job(tmp_path / "output"), TerminationMessage(outcome=outcome)) == 0


def waits(seconds: float, release: Path, stop: Stop) -> tuple[threading.Thread, list[None]]:
    """A hold in a thread, and what it tells."""
    told: list[None] = []
    thread = threading.Thread(target=hold._wait, args=(seconds, release, stop, lambda: told.append(None)))
    thread.daemon = True
    thread.start()
    return thread, told


def test_it_ends_by_itself(tmp_path: Path) -> None:
    thread, told = waits(0.1, tmp_path / RELEASE_FILE, Stop())
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(told) == 1


def test_it_is_told_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator that takes over knows nothing of it."""
    monkeypatch.setattr(hold, "POLL", 0.001)
    monkeypatch.setattr(hold, "REPEAT", 0.002)
    told, stop = [0], Stop()

    def tell() -> None:
        told[0] += 1
        if told[0] == 3:
            stop.ask()

    hold._wait(PATIENCE, tmp_path / RELEASE_FILE, stop, tell)
    assert told == [3]


def test_a_release_that_came_before_it_counts(tmp_path: Path) -> None:
    (tmp_path / RELEASE_FILE).touch()
    thread, told = waits(PATIENCE, tmp_path / RELEASE_FILE, Stop())
    thread.join(PATIENCE / 2)
    assert not thread.is_alive()
    assert not told
