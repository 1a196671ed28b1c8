"""Which rank keeps a gang from going on, told by what ranks leave in a file and by their states."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.builders import job
from harness.children import environment

from llmtrain_api import FailureClass, WaitsIn
from llmtrain_api.schema.recovery import RecoverySpec
from llmtrain_trainer.launch.hang import (
    EVERY_SECONDS,
    GRACE_SECONDS,
    LEAST_SECONDS,
    PATIENCE_SECONDS,
    PAUSED_SECONDS,
    HangWatch,
    hang,
    limit,
)
from llmtrain_trainer.telemetry.heartbeat import Heartbeat, Pulse, path_of, read
from llmtrain_trainer.telemetry.phases import Phase, Stopwatch

AUTO, TEN = RecoverySpec(), RecoverySpec(step_timeout_seconds=10, stage_timeout_seconds=100)


def pulse(rank: int, phase: Phase, age: float, *, longest: float = 1.0, stopped: bool = False) -> Pulse:
    return Pulse(rank, phase, age, longest, stopped=stopped)


@pytest.mark.parametrize(
    ("of", "recovery", "seconds"),
    [
        (pulse(0, Phase.FORWARD, 0), AUTO, LEAST_SECONDS),
        (pulse(0, Phase.FORWARD, 0, longest=90.0), AUTO, 900.0),
        (pulse(0, Phase.FORWARD, 0, longest=90.0), TEN, 10.0),
        (pulse(0, Phase.COMMUNICATION, 0), TEN, 10.0 + PATIENCE_SECONDS),
        (pulse(0, Phase.COMMUNICATION, 0, stopped=True), TEN, 10.0),
        (pulse(0, Phase.CHECKPOINT, 0, longest=90.0), TEN, 100.0),
        (pulse(0, Phase.STARTUP, 0), AUTO, 3600.0),
        (pulse(0, Phase.EVALUATION, 0), AUTO, 3600.0),
    ],
)
def test_what_a_phase_may_take(of: Pulse, recovery: RecoverySpec, seconds: float) -> None:
    assert limit(of, recovery) == seconds


def test_ranks_within_their_time_do_not_hang() -> None:
    assert hang([], TEN) is None
    assert hang([pulse(0, Phase.FORWARD, 9.9), pulse(1, Phase.COMMUNICATION, 19.9)], TEN) is None
    assert hang([pulse(0, Phase.CHECKPOINT, 99.0)], TEN) is None


def test_a_rank_that_is_stopped_is_the_cause_whoever_waits_longer() -> None:
    found = hang(
        [
            pulse(0, Phase.COMMUNICATION, 90.0),
            pulse(1, Phase.BACKWARD, 80.0),
            pulse(2, Phase.COMMUNICATION, 70.0, stopped=True),
        ],
        TEN,
    )
    assert found is not None
    assert (found.failure_class, found.rank, found.cascade) == (FailureClass.HANG, 2, False)
    assert "stopped by a signal" in found.message


def test_a_rank_busy_with_its_own_is_the_cause_of_those_that_wait() -> None:
    found = hang([pulse(0, Phase.COMMUNICATION, 90.0), pulse(1, Phase.DATA, 60.0)], TEN)
    assert found is not None
    assert (found.rank, found.cascade) == (1, False)
    assert found.message == (
        "rank 1 has been in data for 60 s, where no phase of a step had taken longer than 1.0 s"
    )
    assert "recovery.stepTimeoutSeconds" in found.hint


def test_ranks_that_only_wait_say_that_the_cause_is_elsewhere() -> None:
    found = hang([pulse(2, Phase.COMMUNICATION, 30.0), pulse(3, Phase.COMMUNICATION, 40.0)], TEN)
    assert found is not None
    assert (found.rank, found.cascade) == (3, True)
    assert "has waited for other ranks" in found.message


def test_of_ranks_that_wait_the_one_that_fell_behind_is_told() -> None:
    ahead = Pulse(2, Phase.COMMUNICATION, 40.0, 1.0, collective=58, operation="broadcast")
    behind = Pulse(3, Phase.COMMUNICATION, 30.0, 1.0, collective=57, operation="all_reduce")
    found = hang([ahead, behind], TEN)
    assert found is not None
    assert (found.rank, found.cascade, found.waits_in) == (
        3,
        True,
        WaitsIn(number=57, operation="all_reduce"),
    )
    assert "in all_reduce, its collective operation 57" in found.message


def test_a_heartbeat_counts_the_operations_that_a_rank_enters(tmp_path: Path) -> None:
    beat = Heartbeat(tmp_path / "beat")
    for name in ("all_reduce", "reduce_scatter_tensor"):
        beat.enters(name)
        beat(Phase.COMMUNICATION)
    found = read(tmp_path / "beat", 0)
    assert found is not None
    assert (found.collective, found.operation) == (2, "reduce_scatter_tensor")


def test_a_stage_names_its_own_field() -> None:
    found = hang([pulse(0, Phase.CHECKPOINT, 101.0)], TEN)
    assert found is not None
    assert "recovery.stageTimeoutSeconds" in found.hint


def test_a_heartbeat_tells_phase_age_and_the_longest_phase_of_a_step(tmp_path: Path) -> None:
    now = 1_000_000_000
    path = path_of(str(tmp_path / "scratch"), 3, 7)
    beat = Heartbeat(path, lambda: now)
    assert read(path, 7, now=now + 5_000_000_000) == Pulse(7, Phase.STARTUP, 5.0, 0.0, os.getpid())
    now += 900_000_000_000  # start-up is no phase of a step
    beat(Phase.FORWARD)
    now += 2_000_000_000
    beat(Phase.CHECKPOINT)
    now += 60_000_000_000  # neither is a save
    beat(Phase.OTHER)
    assert read(path, 7, now=now + 1_000_000_000) == Pulse(7, Phase.OTHER, 1.0, 2.0, os.getpid())


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 72, b"\xff" * 72, b"x" * 100])
def test_what_is_no_heartbeat_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    assert read(path, 0) is None
    path.write_bytes(content)
    assert read(path, 0) is None


def test_each_change_of_phase_is_told() -> None:
    told: list[Phase] = []
    watch = Stopwatch(changed=told.append)
    with watch(Phase.BACKWARD), watch(Phase.COMMUNICATION):
        pass
    with watch(Phase.CHECKPOINT), watch(Phase.COMMUNICATION):
        pass
    assert told == [
        *(Phase.BACKWARD, Phase.COMMUNICATION, Phase.BACKWARD, Phase.OTHER),
        *(Phase.CHECKPOINT, Phase.CHECKPOINT, Phase.CHECKPOINT, Phase.OTHER),
    ]


def test_after_a_pause_of_the_whole_machine_ranks_get_time(tmp_path: Path) -> None:
    now = 0.0
    asked = job(tmp_path / "output", recovery={"stepTimeoutSeconds": 5})
    watch = HangWatch(asked, range(1), lambda: now)
    old = time.monotonic_ns() - 3_600_000_000_000
    beat = Heartbeat(path_of(asked.scratch, asked.attempt, 0), lambda: old)
    beat(Phase.FORWARD)
    now += PAUSED_SECONDS + 1
    assert watch.look([]) is None
    now += GRACE_SECONDS - 1
    assert watch.look([]) is None
    now += 1
    found = watch.look([])
    assert found is not None
    assert found.rank == 0


def test_a_file_of_an_earlier_run_is_not_believed(tmp_path: Path) -> None:
    asked = job(tmp_path / "output", recovery={"stepTimeoutSeconds": 5})
    beat = Heartbeat(path_of(asked.scratch, asked.attempt, 0), lambda: 1)
    beat(Phase.FORWARD)
    assert HangWatch(asked, range(1)).look([]) is None


def test_a_process_that_is_stopped_is_seen_if_it_is_one_of_ours(tmp_path: Path) -> None:
    asked = job(tmp_path / "output", recovery={"stepTimeoutSeconds": 5})
    now = 0.0
    watch = HangWatch(asked, range(2), lambda: now)
    beat = "from llmtrain_trainer.telemetry.heartbeat import *; import sys; "
    beat += "Heartbeat(Path(sys.argv[1]), lambda: 1)"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", f"{beat}(Phase.COMMUNICATION); print(flush=True); input()", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
        )
        for path in (path_of(asked.scratch, asked.attempt, rank) for rank in range(2))
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout
            child.stdout.readline()
        os.kill(children[1].pid, signal.SIGSTOP)
        os.waitid(os.P_PID, children[1].pid, os.WSTOPPED | os.WNOWAIT)
        found = watch.look([child.pid for child in children])
        assert found is not None
        assert (found.rank, found.cascade) == (1, False)
        now += EVERY_SECONDS
        stranger = watch.look([children[0].pid])
        assert stranger is not None
        assert stranger.cascade, "a process of another job has the number that a file tells"
    finally:
        for child in children:
            child.kill()
            child.communicate()
