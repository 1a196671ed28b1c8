"""Of ranks that all wait for each other, the one that took another way is named."""

from __future__ import annotations

import pytest

from llmtrain_api import FailureClass, WaitsIn
from llmtrain_operator.plan.evidence import Evidence
from llmtrain_operator.plan.root_cause import OTHER_ORDER, root_cause


def waits(rank: int, number: int, operation: str = "all_reduce", *, cascade: bool = True) -> Evidence:
    """A rank that hangs in a collective operation."""
    return Evidence(
        rank,
        FailureClass.HANG,
        f"rank {rank} waits",
        cascade=cascade,
        waits_in=WaitsIn(number=number, operation=operation),
    )


@pytest.mark.parametrize(
    ("found", "rank", "other"),
    [
        ([waits(0, 58), waits(1, 57)], 1, 0),
        ([waits(0, 58), waits(1, 58), waits(2, 58, "broadcast"), waits(3, 58)], 2, 0),
        ([waits(0, 58), waits(1, 58), waits(2, 59), waits(3, 40)], 3, 0),
        # two ranks, two operations: both are told, whoever is to blame
        ([waits(0, 58, "broadcast"), waits(1, 58)], 0, 1),
    ],
)
def test_a_rank_in_another_operation_than_its_peers(found: list[Evidence], rank: int, other: int) -> None:
    root = root_cause(found)
    assert root.rank == rank
    assert root.message == f"rank {rank} waits; rank {other} waits: {OTHER_ORDER}"


def test_ranks_in_the_same_operation_say_nothing_of_their_order() -> None:
    assert root_cause([waits(1, 58), waits(0, 58)]).message == "rank 0 waits"
    assert root_cause([waits(1, 58)]).message == "rank 1 waits"


def test_whoever_does_not_wait_is_the_cause() -> None:
    busy = Evidence(2, FailureClass.HANG, "rank 2 is busy")
    assert root_cause([waits(0, 58), busy, waits(1, 57)]) == busy
    lost = Evidence(3, FailureClass.INFRASTRUCTURE, "its node is lost", cascade=True)
    assert root_cause([waits(0, 58), lost, waits(1, 57)]) == lost
