"""The order of a mixture: exact shares, each source's samples once in its own epoch, any position at once."""

from __future__ import annotations

import time
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.data.order import Order, Source, key_of, sample_at

several = st.lists(st.builds(Source, st.integers(1, 12), st.integers(1, 6)), min_size=2, max_size=5)
seeds = st.integers(0, 2**31 - 1)


def owner(sources: list[Source], row: int) -> tuple[int, int]:
    """The source of a row, and the row's number in it."""
    ends = list(accumulate(source.rows for source in sources))
    number = next(i for i, end in enumerate(ends) if row < end)
    return number, row - (ends[number] - sources[number].rows)


def read(sources: list[Source], seed: int, first: int, count: int) -> list[tuple[int, int]]:
    order = Order(sources, seed)
    return [owner(sources, order.at(position)[0]) for position in range(first, first + count)]


@given(several, seeds, st.integers(0, 10**12))
def test_each_block_has_every_source_as_often_as_its_part(
    sources: list[Source], seed: int, block: int
) -> None:
    length = sum(source.part for source in sources)
    seen = Counter(number for number, _ in read(sources, seed, block * length, length))
    assert seen == {number: source.part for number, source in enumerate(sources)}


@given(several, seeds, st.integers(0, 1000))
def test_each_epoch_of_a_source_has_each_of_its_samples_once(
    sources: list[Source], seed: int, block: int
) -> None:
    """In the order of positions: no sample comes again before the others of its source have come."""
    length = sum(source.part for source in sources)
    blocks = max(3 * -(-source.rows // source.part) for source in sources) + 1
    seen = read(sources, seed, block * length, blocks * length)
    for number, source in enumerate(sources):
        samples = [sample for owned, sample in seen if owned == number]
        skip = -block * source.part % source.rows  # to the start of an epoch
        for start in range(skip, len(samples) - source.rows + 1, source.rows):
            assert sorted(samples[start : start + source.rows]) == list(range(source.rows))


@given(several, seeds)
def test_keys_tell_samples_and_epochs_apart(sources: list[Source], seed: int) -> None:
    order = Order(sources, seed)
    count = 4 * max(source.rows for source in sources) * sum(source.part for source in sources)
    assert len({order.at(position)[1] for position in range(count)}) == count


@given(st.integers(1, 100), seeds, st.integers(0, 10**9), st.integers(1, 9))
def test_one_source_is_read_as_it_always_was(rows: int, seed: int, position: int, part: int) -> None:
    found = Order([Source(rows, part)], seed).at(position)
    assert found == (sample_at(position, rows, seed), key_of(position, rows, seed))


def test_sources_and_blocks_have_orders_of_their_own() -> None:
    sources = [Source(50, 2), Source(50, 2)]
    seen = read(sources, 3, 0, 100)
    mine, other = ([sample for owned, sample in seen if owned == number] for number in (0, 1))
    assert mine[:50] != other[:50]
    turns = [tuple(number for number, _ in seen[at : at + 4]) for at in range(0, 100, 4)]
    assert len(set(turns)) == 6, "all orders of two and two"


def test_the_order_of_a_mixture_never_changes() -> None:
    """A resume on a newer version must go on where the old one stopped."""
    order = Order([Source(5, 3), Source(4, 1)], 7)
    assert [order.at(position)[0] for position in range(24)] == PINNED
    assert order.at(10**9) == PINNED_FAR
    assert [Order([Source(5, 3), Source(4, 1)], 8).at(position)[0] for position in range(24)] != PINNED


PINNED = [7, 2, 1, 0, 5, 3, 4, 2, 6, 0, 3, 4, 1, 4, 8, 3, 5, 2, 0, 1, 8, 4, 3, 1]
PINNED_FAR = (4, 4138120468554441673)


def test_a_far_position_is_found_at_once() -> None:
    order = Order([Source(10**9, 9_999), Source(10**7, 1)], 1)
    began = time.monotonic()
    rows = [order.at(10**15 + hop * 10**10)[0] for hop in range(5)]
    assert time.monotonic() - began < 5
    assert all(0 <= row < 10**9 + 10**7 for row in rows)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_any_number_of_ranks_reads_the_same_samples_once(ranks: int) -> None:
    sources, batch = [Source(11, 3), Source(4, 2)], 7
    order, plan = Order(sources, 5), BatchPlan(batch, 2, ranks)
    for step in range(12):
        places = [place for rank in range(ranks) for row in plan.slots(rank) for place in row]
        rows = sorted(order.at(step * batch + place)[0] for place in places if place is not None)
        assert rows == sorted(order.at(step * batch + place)[0] for place in range(batch))
