"""The order of samples, and which documents are held out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmtrain_trainer.data.order import permuted, sample_at
from llmtrain_trainer.data.sources import is_held_out


@given(st.integers(1, 500), st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_an_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    assert sorted(permuted(i, size, seed, epoch) for i in range(size)) == list(range(size))


def test_the_order_never_changes() -> None:
    """A resume on a newer version must go on where the old one stopped."""
    assert [sample_at(i, 10, 7) for i in range(20)] == PINNED
    assert [sample_at(i, 10, 8) for i in range(10)] != PINNED[:10]


PINNED = [2, 4, 6, 1, 5, 3, 7, 0, 9, 8, 6, 3, 2, 0, 9, 8, 1, 7, 4, 5]


def test_copies_of_a_document_fall_on_one_side() -> None:
    sides = [is_held_out(f"document {i}", 0.2) for i in range(2000)]
    assert sides == [is_held_out(f"document {i}", 0.2) for i in range(2000)]
    assert 300 < sum(sides) < 500
