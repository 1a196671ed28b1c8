"""Batches and the length of a training."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from llmtrain_trainer.batch import BatchPlan, Length

sizes = st.integers(1, 70)


@given(sizes, sizes, sizes, st.data())
def test_every_sample_has_one_slot_at_any_world_size(
    batch: int, micro: int, ranks: int, data: st.DataObject
) -> None:
    plan = BatchPlan(batch, micro, ranks)
    count = data.draw(st.integers(1, batch))
    rows = [plan.slots(rank, count) for rank in range(ranks)]
    assert {len(r) for r in rows} == {plan.accumulation}
    assert {len(m) for r in rows for m in r} == {plan.micro}
    assert plan.micro <= micro
    placed = [place for r in rows for m in r for place in m if place is not None]
    assert sorted(placed) == list(range(count))


def test_an_odd_batch_is_balanced() -> None:
    plan = BatchPlan(global_batch=5, micro_batch=8, ranks=2)
    assert (plan.micro, plan.accumulation) == (3, 1)
    assert plan.slots(0) == [[0, 2, 4]]
    assert plan.slots(1) == [[1, 3, None]]


def test_length_by_steps_and_by_epochs() -> None:
    by_steps = Length(samples=10, global_batch=4, max_steps=7, epochs=None)
    assert (by_steps.steps, by_steps.consumed(7)) == (7, 28)
    by_epochs = Length(samples=10, global_batch=4, max_steps=None, epochs=2)
    assert (by_epochs.steps, by_epochs.consumed(5)) == (5, 20)
    ragged = Length(samples=9, global_batch=4, max_steps=None, epochs=None)
    assert (ragged.steps, ragged.consumed(2), ragged.consumed(3)) == (3, 8, 9)
