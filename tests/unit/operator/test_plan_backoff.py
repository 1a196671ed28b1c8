"""How long a restart waits: longer and longer while nothing comes of them, not at all after progress."""

from __future__ import annotations

import pytest
from harness.jobs import T0, job, running, seen

from llmtrain_api import Attempt, Charge, Restarts, changed
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.backoff import backoff_seconds, in_vain

APPLICATION, INFRASTRUCTURE, NOBODY = Charge.APPLICATION, Charge.INFRASTRUCTURE, Charge.NOBODY


def ended(*rows: tuple[int | None, int | None, Charge]) -> list[Attempt]:
    """Attempts that are over, by the step that each went on from, its newest checkpoint, and the charge."""
    return [
        Attempt(
            number=n, started_at=T0, ended_at=T0, resumed_step=begun, checkpoint_step=newest, charge=charge
        )
        for n, (begun, newest, charge) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("attempts", "count"),
    [
        ([], 0),
        ([(0, None, APPLICATION)], 1),
        ([(0, None, APPLICATION), (0, None, INFRASTRUCTURE)], 2),
        # each saved something: nothing was in vain but the last end itself
        ([(0, 25, APPLICATION), (25, 50, INFRASTRUCTURE), (50, 75, INFRASTRUCTURE)], 1),
        ([(0, 25, APPLICATION), (25, 25, APPLICATION), (25, 25, APPLICATION)], 3),
        ([(0, 25, APPLICATION), (25, 50, APPLICATION), (50, 50, APPLICATION)], 2),
        # what an attempt saved was not known at its end: the next one went on from there
        ([(0, 25, INFRASTRUCTURE), (25, 25, INFRASTRUCTURE), (50, 50, INFRASTRUCTURE)], 1),
        # a gang that gave its room to another is no failure
        ([(0, 25, APPLICATION), (25, 25, NOBODY), (25, 25, APPLICATION)], 2),
        # none of them ever ran
        ([(None, None, INFRASTRUCTURE)] * 4, 4),
    ],
)
def test_only_ends_since_the_newest_checkpoint_count(
    attempts: list[tuple[int | None, int | None, Charge]], count: int
) -> None:
    assert in_vain(ended(*attempts)) == count


@pytest.mark.parametrize(("ends", "seconds"), [(0, 0), (1, 0), (2, 2), (3, 4), (6, 32), (7, 60), (5000, 60)])
def test_the_pause_doubles_up_to_a_minute(ends: int, seconds: float) -> None:
    assert backoff_seconds(ends) == seconds


@pytest.mark.parametrize(("saved", "waits"), [(25, True), (50, False)])
def test_a_job_of_many_restarts_goes_on_at_once_where_each_attempt_saved_something(
    saved: int, waits: bool
) -> None:
    status = running(2, restarts=Restarts(total=40, infrastructure=40))
    records = [
        *ended((0, 25, INFRASTRUCTURE), (25, saved, INFRASTRUCTURE)),
        changed(status.attempts[-1], created_at=None, running_at=None),
    ]
    decided = plan(seen(job(changed(status, attempts=records))), T0)
    assert bool(decided.actions) is not waits
    assert (decided.requeue_after == 2.0) is waits
