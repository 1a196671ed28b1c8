"""A benchmark says that a goal is met, or missed, or that nobody can tell."""

from __future__ import annotations

import pytest
from bench.verdicts import Goal, judge

GOAL = Goal("plain PyTorch", 0.95)


def test_a_goal_is_met_by_the_median_of_the_rounds() -> None:
    verdict = judge(GOAL, [1.0, 2.0, 1.0], [0.97, 1.94, 1.0])
    assert verdict.met
    assert verdict.ratio == pytest.approx(0.97)
    assert str(verdict) == "at least 0.95 of plain PyTorch in CPU time: 0.97, met"


def test_what_takes_longer_than_it_may_is_missed() -> None:
    verdict = judge(GOAL, [1.0, 1.0], [0.9, 0.9])
    assert verdict.met is False
    assert "MISSED" in str(verdict)


def test_rounds_that_differ_too_much_tell_nothing() -> None:
    """Also where each of them would meet the goal: what made them differ may have helped."""
    verdict = judge(GOAL, [1.0, 1.0, 1.0], [1.0, 1.1, 1.2])
    assert verdict.met is None
    assert str(verdict).endswith("no verdict, rounds differ by 18%")


def test_rounds_must_be_the_same_ones() -> None:
    with pytest.raises(ValueError, match="shorter"):
        judge(GOAL, [1.0, 1.0], [1.0])
