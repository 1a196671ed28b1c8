"""Batches made ahead are those of the step that is asked for, whatever step that is."""

from __future__ import annotations

import threading

import pytest
import torch

from llmtrain_trainer.data.feed import Feed
from llmtrain_trainer.data.loader import Pass

CPU = torch.device("cpu")


def passes(step: int) -> list[Pass]:
    return [({"input_ids": torch.tensor([[step]])}, torch.tensor([[step]]))]


def value(found: list[Pass]) -> int:
    return int(found[0][1])


@pytest.mark.parametrize("ahead", [True, False])
def test_each_step_gets_its_own_also_after_a_leap(ahead: bool) -> None:
    feed = Feed(passes, 10, CPU, ahead=ahead)
    asked = [0, 1, 2, 7, 8, 3, 4, 4, 9]
    assert [value(feed.take(step)) for step in asked] == asked
    assert value(feed.move(feed.take(5))) == 5
    feed.close()


def test_the_next_step_is_made_while_this_one_is_computed_and_none_beyond_the_last() -> None:
    made: list[int] = []
    known = threading.Condition()

    def make(step: int) -> list[Pass]:
        with known:
            made.append(step)
            known.notify()
        return passes(step)

    feed = Feed(make, 3, CPU, ahead=True)
    assert value(feed.take(0)) == 0
    with known:
        assert known.wait_for(lambda: made == [0, 1], 20)
    assert [value(feed.take(step)) for step in (1, 2)] == [1, 2]
    assert value(feed.take(2)) == 2  # made by the same thread, behind all that it was given
    assert made == [0, 1, 2, 2]
    feed.close()


def test_on_a_cpu_nothing_is_made_ahead() -> None:
    made: list[int] = []
    feed = Feed(lambda step: made.append(step) or passes(step), 3, CPU)  # type: ignore[func-returns-value]
    feed.take(0)
    assert made == [0]


def test_what_goes_wrong_ahead_is_raised_at_its_own_step() -> None:
    def make(step: int) -> list[Pass]:
        if step == 1:
            raise ValueError("row 1")
        return passes(step)

    feed = Feed(make, 3, CPU, ahead=True)
    assert value(feed.take(0)) == 0
    with pytest.raises(ValueError, match="row 1"):
        feed.take(1)
    assert value(feed.take(2)) == 2
    feed.close()
