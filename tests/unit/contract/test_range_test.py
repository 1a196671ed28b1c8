"""The learning rate range test: what a curve says, on curves whose answer is known."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from llmtrain_api.schema.range_test import FEWEST, RangeTest, leapt, report, smoothed

STEPS = 100


def rates(lowest: float = 1e-7, highest: float = 1.0) -> list[float]:
    test = RangeTest(lowest=lowest, highest=highest)
    return [highest * test.share(step, STEPS) for step in range(STEPS)]


def curve(falls_at: float, rises_at: float, noise: float = 0.0, depth: float = 2.0) -> list[float]:
    """A loss that falls by ``depth`` around one rate, and leaps around another."""
    draw = random.Random(0)
    return [
        6.0
        - depth / (1 + math.exp(-4 * math.log10(rate / falls_at)))
        + min(20.0, 5 * (rate / rises_at) ** 2)
        + draw.gauss(0, noise)
        for rate in rates()
    ]


def cut(losses: list[float]) -> list[float]:
    """As the trainer ends it."""
    for count in range(1, len(losses) + 1):
        if leapt(losses[:count], STEPS):
            return losses[:count]
    return losses


def test_the_rate_rises_by_the_same_factor_each_step() -> None:
    found = rates(1e-6, 1e-2)
    assert (found[0], found[-1]) == pytest.approx((1e-6, 1e-2))
    factors = {round(after / before, 9) for before, after in pairwise(found)}
    assert len(factors) == 1


def test_the_steepest_rate_is_found_through_noise() -> None:
    losses = cut(curve(1e-4, 0.1, noise=0.05))
    found = report(rates()[: len(losses)], losses, STEPS)
    assert found.steepest is not None
    assert abs(math.log10(found.steepest / 1e-4)) < 0.4
    assert found.suggested == pytest.approx(found.steepest, rel=0.1)
    assert "falls fastest" in found.reason


def test_a_rate_near_the_edge_is_not_suggested() -> None:
    """Where the loss falls fastest just before it leaps, the suggestion is a tenth of where it is lowest."""
    losses = cut(curve(1e-2, 0.2))
    found = report(rates()[: len(losses)], losses, STEPS)
    assert found.lowest is not None
    assert found.diverged is not None
    assert found.suggested == pytest.approx(found.lowest / 10, rel=0.05)
    assert found.suggested is not None
    assert found.suggested < found.diverged / 10


def test_a_leap_ends_it_and_noise_does_not() -> None:
    assert len(cut(curve(1e-4, 1e-2))) < 80
    flat = curve(1e9, 1e9, noise=0.2)
    assert len(cut(flat)) == STEPS
    assert leapt([6.0, math.nan], STEPS)
    assert leapt([math.inf], STEPS)


def test_a_loss_that_does_not_fall_suggests_nothing() -> None:
    found = report(rates(), curve(1e9, 1e9, noise=0.2), STEPS)
    assert found.suggested is None
    assert "no more than its noise" in found.reason
    assert "--steps" in found.reason


def test_a_curve_without_steps_says_where_to_begin() -> None:
    losses = [6.0] * (FEWEST - 1)
    found = report([*rates()[:FEWEST]], [*losses, None], STEPS)
    assert found.suggested is None
    assert "--lowest" in found.reason
    assert found.diverged == rates()[FEWEST - 1]


def test_what_comes_after_a_loss_that_is_not_finite_counts_for_nothing() -> None:
    whole = cut(curve(1e-4, 1e-2))
    known: list[float | None] = [*whole]
    with_hole = report(rates()[: len(whole) + 1], [*known, None], STEPS)
    assert with_hole.points[-1].smoothed is None
    assert with_hole.suggested == report(rates()[: len(whole)], known, STEPS).suggested


def test_a_loss_that_falls_to_the_end_asks_for_higher_rates() -> None:
    found = report(rates(), curve(1.0, 1e9), STEPS)
    assert found.diverged is None
    assert "higher --highest" in found.reason


def test_the_ends_which_nothing_smooths_are_no_fall() -> None:
    losses = [6.0, *[5.0 + 0.01 * (step % 2) for step in range(STEPS - 1)]]
    assert report(rates(), losses, STEPS).suggested is None


def test_smoothing_does_not_move_a_straight_line() -> None:
    line = [6 - 0.01 * step for step in range(STEPS)]
    assert smoothed(line, STEPS) == pytest.approx(line)
