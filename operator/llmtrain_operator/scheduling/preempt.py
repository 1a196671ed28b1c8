"""Which gangs are ended for one of higher priority: only those that may be, as few as needed, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .ledger import Ledger
from .values import Claim


def victims(ledger: Ledger, first: Claim, running: Iterable[tuple[Claim, Mapping[str, int]]]) -> list[Claim]:
    """Gangs without which the first in the queue would start; none where that would not suffice.

    The least urgent goes first, and of equals who came last; then whoever is not needed stays after all, the
    most urgent first. Room of gangs that are being ended already counts as free.

    Args:
        ledger: what is free now; it is changed.
        first: the first gang that waits for room.
        running: gangs that were let in, and where their pods are.
    """
    held = list(running)
    for claim, placement in held:
        if claim.leaves:
            ledger.give(claim.demand, placement)
    found: list[tuple[Claim, Mapping[str, int]]] = []
    below = [entry for entry in held if _may_go(entry[0], first)]
    for claim, placement in sorted(
        below, key=lambda entry: (entry[0].priority, -entry[0].created.timestamp())
    ):
        if ledger.room(first.demand) >= first.nodes:
            break
        ledger.give(claim.demand, placement)
        found.append((claim, placement))
    if ledger.room(first.demand) < first.nodes:
        return []
    for claim, placement in reversed(list(found)):
        ledger.take(claim.demand, placement)
        if ledger.room(first.demand) >= first.nodes:
            found.remove((claim, placement))
        else:
            ledger.give(claim.demand, placement)
    return [claim for claim, _ in found]


def _may_go(claim: Claim, first: Claim) -> bool:
    return claim.yields and not claim.leaves and claim.priority < first.priority
