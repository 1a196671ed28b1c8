"""Phases add up to the wall time; a GPU is waited for in a few steps only; TensorBoard is cut at a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.trainer.tensorboard_files import events

from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.telemetry.figures import Pace, StepResult, Workload
from llmtrain_trainer.telemetry.phases import SAMPLED, Lap, Phase, Stopwatch, spread
from llmtrain_trainer.telemetry.tensorboard import Board


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.waits = 0

    def __call__(self) -> float:
        return self.now

    def wait(self) -> None:
        self.waits += 1


def test_a_phase_inside_another_is_taken_out_of_it() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    clock.now += 1
    with watch(Phase.BACKWARD):
        clock.now += 2
        with watch(Phase.COMMUNICATION):
            clock.now += 4
        clock.now += 8
    assert watch.lap().seconds == {Phase.OTHER: 1, Phase.BACKWARD: 10, Phase.COMMUNICATION: 4}
    assert watch.lap().seconds == {Phase.OTHER: 0}


def test_a_checkpoint_keeps_what_happens_inside_it() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    with watch(Phase.CHECKPOINT), watch(Phase.COMMUNICATION):
        clock.now += 4
    assert watch.lap().seconds[Phase.CHECKPOINT] == 4


def test_an_error_inside_a_phase_ends_it() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    with pytest.raises(ValueError, match="boom"), watch(Phase.DATA):
        raise ValueError("boom")
    clock.now += 3
    assert watch.lap().seconds == {Phase.OTHER: 3, Phase.DATA: 0}


def test_a_gpu_is_waited_for_in_a_few_steps_only() -> None:
    clock = Clock()
    watch = Stopwatch(clock.wait, clock)
    measured = []
    for step in range(2 * SAMPLED + 1):
        before = clock.waits
        with watch(Phase.FORWARD):
            clock.now += 1
        lap = watch.lap()
        assert (clock.waits > before) == lap.measured
        measured += [step] * lap.measured
    assert measured == [0, 1, SAMPLED, SAMPLED + 1, 2 * SAMPLED]


def test_an_unmeasured_step_has_the_shares_of_the_last_measured_one() -> None:
    sample = Lap({Phase.FORWARD: 1.0, Phase.BACKWARD: 3.0, Phase.CHECKPOINT: 50.0}, True)
    lap = Lap({Phase.FORWARD: 0.1, Phase.OTHER: 7.9, Phase.EVALUATION: 2.0}, False)
    assert spread(lap, sample) == {Phase.FORWARD: 2.0, Phase.BACKWARD: 6.0, Phase.EVALUATION: 2.0}
    assert spread(sample, sample) == sample.seconds
    assert spread(lap, None) == lap.seconds


def test_figures_of_a_step() -> None:
    """10 sequences in steps of 4, 2 ranks with passes of 3: the last step has 2, beside 4 fillers."""
    length = Length(samples=10, global_batch=4, max_steps=None, epochs=1)
    load = Workload(length, BatchPlan(4, 3, 2), world=2, sequence_flops=1e9, peak=4e9)
    last = load.report(StepResult(3, 2.0, 0.1, None, 60, True), 0.5, 0.95, {}, measured=True)
    assert (last.seconds, last.smooth_seconds) == (0.5, 0.95)
    assert (last.samples, last.padding, last.epoch, last.progress) == (2, 0.5, 1.0, 1.0)
    assert last.tokens_per_second == pytest.approx(60 / 0.95)
    assert last.model_flops_per_second == pytest.approx(2e9 / 0.95)
    assert last.mfu == pytest.approx(2e9 / 0.95 / 8e9)


def test_a_slow_first_step_is_forgotten_with_the_second() -> None:
    pace = Pace()
    assert [pace.step(seconds) for seconds in (35.0, 6.0)] == [35.0, 6.0]
    assert pace.step(7.0) == pytest.approx(6.1)


def test_curves_are_cut_where_training_goes_on(tmp_path: Path) -> None:
    Board(tmp_path / "resumed", 50).close()
    purges = [event.step for event in events(tmp_path / "resumed") if event.session_log.status]
    assert purges == [51]
    Board(tmp_path / "new", 0).close()
    assert not any(event.session_log.status for event in events(tmp_path / "new"))
