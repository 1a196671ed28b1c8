"""A rank that gets half of its time keeps the other waiting: it is named, until it gets all of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from harness.builders import job, spec
from harness.children import processes
from harness.trainer.laptop import LaptopRun

from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.telemetry import stragglers
from llmtrain_trainer.telemetry.phases import Phase, Stopwatch
from llmtrain_trainer.telemetry.stragglers import WINDOW, StragglerWatch, busy, slowest

pytestmark = pytest.mark.timeout(400)


def test_the_slowest_is_measured_by_the_median_of_the_others() -> None:
    assert slowest([1.0, 1.0, 1.0, 1.49], 1) is None
    found = slowest([1.0, 1.2, 1.0, 3.0], 10)
    assert found is not None
    assert (found.rank, found.times, found.seconds) == (3, 3.0, 0.3)
    two = slowest([2.0, 1.0], 1)
    assert two is not None
    assert (two.rank, two.times) == (0, 2.0)
    assert slowest([5.0], 1) is None
    assert slowest([0.0, 0.0], 1) is None


def test_time_in_collectives_and_saves_is_no_ranks_own() -> None:
    assert (
        busy({Phase.FORWARD: 1.0, Phase.BACKWARD: 2.0, Phase.COMMUNICATION: 9.0, Phase.CHECKPOINT: 9.0})
        == 3.0
    )


def windows(told: StragglerWatch, own: float, count: int = 1) -> Any:
    for _ in range(count * WINDOW):
        told.step({Phase.FORWARD: own, Phase.COMMUNICATION: 10.0})
    return told.found


def test_it_takes_two_windows_to_be_found_and_one_to_be_none(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0's side, where rank 1 takes a second each step."""
    monkeypatch.setattr(stragglers, "all_reduce_sum_float", lambda _, *own: [own[0], WINDOW * 1.0])
    ranks = Ranks(0, 2, 0, None)  # type: ignore[arg-type]
    told = StragglerWatch(job(tmp_path / "output"), ranks, Stopwatch())
    assert windows(told, 2.0) is None
    found = windows(told, 2.0)
    assert (found.rank, found.times, found.seconds) == (0, 2.0, 2.0)
    assert windows(told, 1.0) is None
    assert windows(told, 0.5) is None, "another rank begins anew"
    assert windows(told, 0.5).rank == 1


@contextmanager
def half_of_the_time(pid: int) -> Iterator[None]:
    """Stops a process again and again."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.01):
            os.kill(pid, signal.SIGSTOP)
            over.wait(0.04)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_rank_on_a_busy_node_is_named_until_it_has_its_time_again(tmp_path: Any) -> None:
    told = LaptopRun(tmp_path)
    asked = spec(
        nodes=2, processesPerNode=1, training={"maxSteps": 100_000}, output={"uri": "pvc://checkpoints/tiny"}
    )
    told.ask(asked.to_json())

    def condition() -> dict[str, str]:
        found = told.object()["status"].get("conditions", [])
        return next((c for c in found if c["type"] == "Straggler"), {})

    def named() -> bool:
        """Whether it is rank 1: on a busy machine the other may have been the slow one before."""
        now = condition()
        words = "rank 1 (pod tiny-0-1, node localhost) computes "
        return now.get("status") == "True" and now["message"].startswith(words)

    try:
        told.start()
        told.until(lambda: told.output.committed(), "a first checkpoint")
        [slow] = processes(str(tmp_path), "-u -m llmtrain_trainer.training.rank", "/tiny-0-1")
        with half_of_the_time(slow):
            told.until(named, "the slow rank's name")
        told.until(lambda: not named(), "all of its time again")
        told.end(signal.SIGINT)
    finally:
        told.close()
    assert told.codes == [75], told.text()
