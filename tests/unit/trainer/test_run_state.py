"""Spikes, early stopping and skipped steps, as values."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest

from llmtrain_api import EarlyStoppingSpec, TrainingSpec
from llmtrain_trainer.errors import ConfigError, DivergedError
from llmtrain_trainer.training.run_state import MAX_REWINDS, Evaluations, RunState
from llmtrain_trainer.training.spikes import LEAST, MAX_DROPPED, SpikeDetector

NAN, INF = math.nan, math.inf


def run_state(**training: Any) -> RunState:
    return RunState(TrainingSpec.model_validate(training))


def warm(detector: SpikeDetector, steps: int = LEAST) -> SpikeDetector:
    """One that has seen a loss of about 2 and a norm of about 1."""
    for step in range(steps):
        assert detector.observe(2 + 0.1 * (-1) ** step, 1.0) is None
    return detector


def test_a_loss_above_six_deviations_leaps() -> None:
    low, high = warm(SpikeDetector()), warm(SpikeDetector())
    assert low.observe(2.55, 1.0) is None
    spike = high.observe(2.7, 1.0)
    assert spike is not None
    assert (spike.what, spike.value) == ("loss", 2.7)
    assert spike.limit == pytest.approx(2.6, abs=0.02)
    assert "loss 2.7 is above 2.6" in str(spike)


def test_a_gradient_of_ten_times_the_usual_leaps() -> None:
    assert warm(SpikeDetector()).observe(2.0, 9.9) is None
    spike = warm(SpikeDetector()).observe(2.0, 10.1)
    assert spike is not None
    assert spike.what == "gradient norm"


@pytest.mark.parametrize(("loss", "norm"), [(NAN, 1.0), (INF, 1.0), (2.0, NAN), (2.0, INF)])
def test_what_is_not_finite_leaps_from_the_first_step_and_leaves_no_trace(loss: float, norm: float) -> None:
    detector = SpikeDetector()
    assert detector.observe(loss, norm) is not None
    assert warm(detector).observe(2.7, 1.0) is not None


def test_nothing_is_judged_before_there_is_enough_to_judge_by() -> None:
    assert warm(SpikeDetector(), LEAST - 1).observe(50.0, 500.0) is None


def test_a_falling_or_smooth_curve_never_alarms() -> None:
    detector = SpikeDetector()
    for step in range(2000):
        assert detector.observe(10 * math.exp(-step / 300) + 2, 3 / (1 + step / 100)) is None


def test_noise_alone_never_alarms() -> None:
    generator = random.Random(5)
    detector = SpikeDetector()
    for _ in range(5000):
        assert detector.observe(generator.gauss(3.0, 0.2), abs(generator.gauss(1.0, 0.2))) is None


def test_two_leaps_in_a_row_are_both_seen_and_a_new_level_is_learnt() -> None:
    detector = warm(SpikeDetector(), 60)
    alarms = [detector.observe(4.0, 1.0) is not None for _ in range(200)]
    assert alarms[:2] == [True, True]
    assert not any(alarms[-100:])


def test_policies() -> None:
    for policy in ("warn", "rewind", "stop"):
        found = run_state(onSpike=policy)
        for step in range(LEAST):
            assert found.judge(step, 2.0, 1.0, applied=True) is None
        if policy == "stop":
            with pytest.raises(DivergedError, match=r"step 21: the loss 9 is above .*onSpike is stop"):
                found.judge(21, 9.0, 1.0, applied=True)
            continue
        spike = found.judge(21, 9.0, 1.0, applied=True)
        assert spike is not None
        assert found.rewinds(spike, applied=True) is (policy == "rewind")
        assert not found.rewinds(spike, applied=False)
        assert not found.rewinds(None, applied=True)


def test_the_fourth_rewind_ends_the_job() -> None:
    found = run_state(onSpike="rewind")
    for number in range(MAX_REWINDS):
        assert found.rewinds(found.judge(number, NAN, 1.0, applied=True), applied=True)
        found.skip(number)
    with pytest.raises(DivergedError, match=r"step 9: the loss is nan, after 3 rewinds"):
        found.judge(9, NAN, 1.0, applied=True)


def test_a_dropped_step_is_a_leap_but_has_done_no_harm() -> None:
    found = run_state(onSpike="rewind")
    spike = found.judge(1, 2.0, INF, applied=False)
    assert spike is not None
    assert not found.rewinds(spike, applied=False)
    assert found.dropped == 1
    assert run_state().judge(1, 2.0, 0.0, applied=False) is not None


def test_fp16_may_drop_steps_until_it_knows_its_scale() -> None:
    found = run_state(onSpike="stop", precision="fp16")
    assert found.judge(1, 2.0, INF, applied=False) is None
    assert found.dropped == 1


@pytest.mark.parametrize("policy", ["warn", "rewind"])
def test_ten_dropped_steps_in_a_row_end_the_job(policy: str) -> None:
    found = run_state(onSpike=policy)
    for step in range(MAX_DROPPED - 1):
        found.judge(step, 2.0, INF, applied=False)
    found.judge(100, 2.0, 1.0, applied=True)
    for step in range(MAX_DROPPED - 1):
        found.judge(step, 2.0, INF, applied=False)
    with pytest.raises(DivergedError, match="10 steps in a row up to step 200"):
        found.judge(200, 2.0, INF, applied=False)


def stops_at(state: RunState, first: int) -> int | None:
    """Train up to step 60 with a spike in step 26; the step that ends it."""
    for step in range(first, 61):
        try:
            state.judge(step, 9.0 if step == 26 else 4.0 - 0.01 * step, 1.0, applied=True)
        except DivergedError:
            return step
    return None


@pytest.mark.parametrize("saved_at", [0, 1, 5, LEAST, 25])
def test_a_resumed_attempt_judges_as_the_one_before(saved_at: int) -> None:
    """A spike less than LEAST steps after the checkpoint, when a fresh detector would still be warming up."""
    before = run_state(onSpike="stop")
    for step in range(1, saved_at + 1):
        before.judge(step, 4.0 - 0.01 * step, 1.0, applied=True)
    after = run_state(onSpike="stop")
    after.restore(json.loads(json.dumps(before.to_json())))
    assert stops_at(after, saved_at + 1) == stops_at(before, saved_at + 1) == 26


def test_every_average_survives_a_resume_to_the_last_bit() -> None:
    generator = random.Random(3)
    before, after = run_state(), run_state()
    for step in range(1, 200):
        numbers = abs(generator.gauss(3, 1)), abs(generator.gauss(1, 0.5))
        found = before.judge(step, *numbers, applied=True)
        assert after.judge(step, *numbers, applied=True) == found
        after.restore(json.loads(json.dumps(after.to_json())))
        assert after.to_json() == before.to_json()


def test_dropped_steps_in_a_row_are_counted_over_a_resume() -> None:
    before, after = run_state(), run_state()
    for step in range(MAX_DROPPED - 1):
        before.judge(step, 2.0, INF, applied=False)
    after.restore(before.to_json())
    with pytest.raises(DivergedError, match=f"{MAX_DROPPED} steps in a row"):
        after.judge(MAX_DROPPED, 2.0, INF, applied=False)


def test_a_run_state_that_is_no_run_state_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="run_state in the checkpoint's manifest cannot be read"):
        run_state().restore({"losses": {"mean": "many"}})


RULE = EarlyStoppingSpec(patience=2, min_delta=0.1)


def saw(*losses: float, min_delta: float = 0.1) -> Evaluations:
    found = Evaluations()
    for number, loss in enumerate(losses):
        found = found.with_loss(10 * (number + 1), loss, min_delta)
    return found


STOPS: dict[str, tuple[tuple[float, ...], bool]] = {
    "still falling": ((5.0, 4.0, 3.0), False),
    "one without a gain": ((5.0, 4.0, 4.0), False),
    "two without a gain": ((5.0, 4.0, 4.0, 4.5), True),
    "gains too small": ((5.0, 4.95, 4.91), True),
    "small gains that add up": ((5.0, 4.95, 4.89), False),
    "a gain between": ((5.0, 5.0, 4.0, 4.0), False),
    "never finite": ((NAN, NAN), True),
    "a first one that is not finite": ((NAN, 5.0, 5.0), False),
}


@pytest.mark.parametrize("name", STOPS)
def test_early_stopping(name: str) -> None:
    losses, stops = STOPS[name]
    reason = saw(*losses).stop(RULE)
    assert (reason is not None) is stops, reason
    assert saw(*losses).stop(None) is None


def test_the_reason_names_the_best_evaluation() -> None:
    reason = saw(5.0, 4.0, 3.95, 4.2).stop(RULE)
    assert reason is not None
    assert reason.startswith("early stopping at step 40: 2 evaluations without a gain of more than 0.1")
    assert "3.9500 of step 30" in reason


def test_an_evaluation_that_a_resume_repeats_counts_once() -> None:
    once = saw(5.0, 6.0)
    assert once.with_loss(20, 6.0, 0.1) == once


def test_a_resume_goes_on_with_every_decision() -> None:
    before = run_state(onSpike="rewind", earlyStopping={"patience": 2})
    before.judge(1, 2.0, INF, applied=False)
    before.skip(7)
    before.skip(3)
    before.evaluated(10, 5.0)
    before.evaluated(20, 6.0)
    after = run_state(onSpike="rewind", earlyStopping={"patience": 2})
    after.restore(json.loads(json.dumps(before.to_json())))
    assert after.to_json() == before.to_json()
    assert (after.skipped, after.dropped) == ((3, 7), 1)
    assert after.stop_reason is None
    after.evaluated(30, 6.0)
    assert after.stop_reason
    results = after.results(early=True)
    assert results["stop_reason"] == after.stop_reason
    assert (results["best_step"], results["best_eval_loss"], results["skipped_steps"]) == (10, 5.0, 3)
    assert after.results(early=False)["stop_reason"] is None


def test_a_rewind_takes_back_evaluations_but_no_skipped_step() -> None:
    found = run_state(onSpike="rewind")
    found.evaluated(10, 5.0)
    kept = found.to_json()
    found.evaluated(20, 4.0)
    found.skip(25)
    found.restore(kept)
    assert found.skipped == (25,)
    assert found.evaluations.best_step == 10


def test_a_checkpoint_of_an_older_version_has_no_decisions() -> None:
    found = run_state()
    found.restore({})
    assert found.to_json() == run_state().to_json()


def test_a_curve_without_noise_may_still_rise_a_little() -> None:
    detector = SpikeDetector()
    for _ in range(2 * LEAST):
        detector.observe(2.0, 1.0)
    assert detector.observe(2.1, 1.0) is None
    assert detector.observe(2.3, 1.0) is not None
