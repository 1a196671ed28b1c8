"""When a gang that waits for room may start, by what the running gangs expect of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from .ledger import Ledger
from .values import Claim


def starts(
    ledger: Ledger,
    running: Iterable[tuple[Claim, Mapping[str, int]]],
    waiting: Iterable[Claim],
    now: datetime,
) -> dict[str, datetime]:
    """The earliest moment at which each gang finds room together with all that wait before it.

    How long those will run is not known, so each only gets a moment for which nothing but the ends of running
    gangs is needed; no moment where that does not suffice, or where no end is foreseen.

    Args:
        ledger: what is free now; it is changed.
        running: gangs that were let in, and where their pods are.
        waiting: gangs without room, the first first.
        now: the current moment.
    """
    ends = sorted(
        (
            (claim.eta, claim, placement)
            for claim, placement in running
            if claim.eta is not None and claim.eta > now
        ),
        key=lambda end: end[0],
    )
    found: dict[str, datetime] = {}
    moment = None
    for claim in waiting:
        while ledger.room(claim.demand) < claim.nodes and ends:
            moment, ended, placement = ends.pop(0)
            ledger.give(ended.demand, placement)
        if ledger.room(claim.demand) < claim.nodes:
            break
        if moment is not None:
            found[claim.job.uid] = moment
        ledger.take(claim.demand, ledger.place(claim.demand, claim.nodes))
    return found
