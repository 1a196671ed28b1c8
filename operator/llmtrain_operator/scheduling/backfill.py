"""Whether a gang that comes later may start before one that waits: only if that one cannot lose by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from .fit import times
from .ledger import Ledger
from .values import Amounts, Claim, total

MAX_GANGS_OF_A_NODE = 6
"""Of more gangs on one node not all ways to end are gone through: it is then left to who waits."""


class Shares:
    """What each gang that was let in has of each node, as far as that is known.

    Args:
        parts: gangs and where their pods are, or will be.
    """

    def __init__(self, parts: Iterable[tuple[Claim, Mapping[str, int]]]) -> None:
        self._of: dict[str, list[Amounts]] = {}
        for claim, placement in parts:
            self.add(claim, placement)

    def add(self, claim: Claim, placement: Mapping[str, int]) -> None:
        """One more gang, or another part of one."""
        for node, count in placement.items():
            share = {name: need * count for name, need in claim.demand.requests.items()}
            self._of.setdefault(node, []).append(share)

    def on(self, node: str) -> list[Amounts]:
        """The shares of one node, one a gang."""
        return self._of.get(node, [])


def share_nodes(waiting: Claim, later: Claim, ledger: Ledger) -> bool:
    """Whether there is a node on which pods of both may run."""
    return not set(ledger.eligible(waiting.demand)).isdisjoint(ledger.eligible(later.demand))


def harms(waiting: Claim, later: Claim, ledger: Ledger, shares: Shares) -> bool:
    """Whether ``waiting`` could start later than without ``later``, whichever gangs end in whichever order.

    Looked at is every node that the scheduler may choose for a pod of ``later``, with as many of them as fit
    there, against every set of gangs that may have ended by then: if on each node as many pods of ``waiting``
    find room with it as without it, nothing is lost.
    """
    theirs = ledger.eligible(waiting.demand)
    others = set(ledger.eligible(later.demand))
    taken = {
        node: min(later.nodes, times(ledger.free[node], later.demand.requests))
        for node in theirs
        if node in others
    }
    left = sum(
        times(_less(ledger.free[node], later, taken.get(node, 0)), waiting.demand.requests) for node in theirs
    )
    if left >= waiting.nodes:
        # what it waits for is not room, and there is enough for both
        return False
    return any(
        _loses(waiting, later, count, ledger.free[node], shares.on(node))
        for node, count in taken.items()
        if count
    )


def _loses(waiting: Claim, later: Claim, count: int, free: Amounts, shares: list[Amounts]) -> bool:
    """Whether a node holds fewer pods of ``waiting`` once ``count`` pods of ``later`` are on it."""
    requests = waiting.demand.requests
    if len(shares) > MAX_GANGS_OF_A_NODE:
        return True
    for size in range(len(shares) + 1):
        for ended in combinations(shares, size):
            without = total([free, *ended])
            if times(_less(without, later, count), requests) < times(without, requests):
                return True
    return False


def _less(free: Amounts, gang: Claim, count: int) -> dict[str, int]:
    """What is free once so many pods of a gang are there."""
    return total([free, {name: -need * count for name, need in gang.demand.requests.items()}])
