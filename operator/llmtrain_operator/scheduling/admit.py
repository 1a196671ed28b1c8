"""Which gangs start now, and why the others wait: a pure function over values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ..types import Admission, JobRef
from . import words
from .backfill import Shares, harms, share_nodes
from .estimate import starts
from .ledger import Ledger
from .preempt import victims
from .quota import budgets_of
from .values import Claim, View

MAX_SHAPES = 8
"""Kinds of gangs that wait for room and that later ones may not harm; behind more of them nobody passes."""


def order(claim: Claim) -> tuple[int, float, str, str]:
    """Priority first, then who was applied first."""
    return -claim.priority, claim.created.timestamp(), claim.job.namespace, claim.job.name


@dataclass(frozen=True)
class Round:
    """What one look at the queue comes to.

    Attributes:
        answers: for each gang in the queue, and each that was let in and asks for its size, by its job's UID.
        preempted: gangs that are ended for another, by their job's UID, and for which.
    """

    answers: dict[str, Admission]
    preempted: dict[str, JobRef]


def admit(holders: Iterable[Claim], queue: Iterable[Claim], view: View) -> dict[str, Admission]:
    """The answers of one look at the queue."""
    return look(holders, queue, view).answers


def look(holders: Iterable[Claim], queue: Iterable[Claim], view: View) -> Round:
    """The answer for each gang in the queue, by the UID of its job.

    Gangs are asked in order. One starts if the quotas of its namespace take all of its pods, each of its pods
    finds a node beside all that run or were let in before, and no gang that waits before it could lose by it.

    Args:
        holders: gangs that were let in: what they have not taken yet is kept for them.
        queue: gangs that want to start.
        view: the cluster.
    """
    held = list(holders)
    round_ = _Round([claim for claim in held if not claim.refits], view)
    waiting = sorted(queue, key=order)
    # their room is theirs: they choose from it before anybody else
    found = {c.job.uid: round_.refit(c) for c in sorted(held, key=order) if c.refits}
    for position, claim in enumerate(waiting, 1):
        answer = round_.ask(claim)
        found[claim.job.uid] = answer if answer.admitted else replace(answer, position=position)
    # who runs already has more only of what nobody waits for
    found |= {c.job.uid: round_.grow(c) for c in sorted(held, key=order) if c.wants}
    if round_.ledger is not None:
        for uid, moment in starts(round_.ledger.copy(), round_.running, round_.blocked, view.now).items():
            found[uid] = replace(found[uid], estimated_start=moment)
    return Round(found, round_.preempted())


@dataclass
class _Round:
    """One pass over the queue.

    Attributes:
        ledger: None where nodes are not known.
        blocked: who waits for room that there could be.
        running: who was let in, and where its pods are or will be.
        starting: how many of them are not wholly on nodes.
        homeless: gangs of them for whose pods no room can be kept, as others may be where it was.
    """

    holders: list[Claim]
    view: View
    ledger: Ledger | None = None
    blocked: list[Claim] = field(default_factory=list)
    running: list[tuple[Claim, dict[str, int]]] = field(default_factory=list)
    starting: int = 0
    homeless: list[Claim] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.budgets = budgets_of(self.view.quotas, self.holders)
        self.starting = sum(claim.unplaced > 0 for claim in self.holders)
        if self.view.nodes is None:
            return
        self.ledger = Ledger(self.view.nodes, self.view.used)
        # the largest first, as they find room last
        for claim in sorted(self.holders, key=lambda c: self._times_in_all(c)):
            ahead = self.ledger.place(claim.demand, claim.unplaced)
            if sum(ahead.values()) < claim.unplaced:
                self.homeless.append(claim)
            self.ledger.take(claim.demand, ahead)
            self.running.append((claim, _sum(claim.placed, ahead)))
        self.shares = Shares(self.running)

    def ask(self, claim: Claim) -> Admission:
        """Whether it starts; if so, what it takes is taken."""
        if claim.not_before is not None and claim.not_before > self.view.now:
            # it does not ask yet, and nothing is kept for it
            seconds = (claim.not_before - self.view.now).total_seconds()
            return Admission(False, retry_after=seconds)
        if claim.least is None:
            return self._ask(claim)
        size = self._size(claim, claim.nodes)
        answer = self._ask(replace(claim, nodes=max(size, claim.least)))
        if not answer.admitted:
            return replace(answer, message=answer.message + words.at_least(claim))
        return self._sized(claim, size)

    def refit(self, claim: Claim) -> Admission:
        """With how many pods the next gang of a job starts that holds room; what it held is given back first.

        Its quota is not asked: the pods before it may still be counted, and it takes no more than they did.
        """
        least = claim.nodes if claim.least is None else claim.least
        size = claim.nodes
        if self.ledger is not None:
            self.ledger.give(claim.demand, claim.placed)
            size = min(size, self.ledger.room(claim.demand))
        if size < least:
            answer = self._room(replace(claim, nodes=least))
            assert answer is not None
            return replace(answer, message=answer.message + words.at_least(claim))
        self._let_in(replace(claim, nodes=size))
        return self._sized(claim, size)

    def grow(self, claim: Claim) -> Admission:
        """With how many pods a gang that runs could go on."""
        more = self._size(claim, claim.wants - claim.nodes)
        if more < 1 or self._ask(replace(claim, nodes=more), waits=False) != Admission(True):
            more = 0
        return Admission(True, nodes=claim.nodes + more)

    def preempted(self) -> dict[str, JobRef]:
        """Gangs that are ended for the first that waits. Only for that one: who is behind it could not start
        all the same."""
        first = self.blocked[0] if self.blocked else None
        if self.ledger is None or first is None:
            return {}
        budget = self.budgets.get(first.job.namespace)
        if budget is not None and budget.lacks(first.demand, first.nodes):
            return {}
        found = victims(self.ledger.copy(), first, self.running)
        return {claim.job.uid: first.job for claim in found}

    def _sized(self, claim: Claim, size: int) -> Admission:
        why = words.fewer(claim, size) if size < claim.nodes else ""
        return Admission(True, nodes=size, message=why)

    def _size(self, claim: Claim, most: int) -> int:
        """How many pods of a gang find room and are within the quotas, up to so many."""
        if self.ledger is not None:
            most = min(most, self.ledger.room(claim.demand))
        budget = self.budgets.get(claim.job.namespace)
        while budget is not None and most > 0 and budget.lacks(claim.demand, most):
            most -= 1
        return most

    def _ask(self, claim: Claim, *, waits: bool = True) -> Admission:
        known = len(self.blocked)
        answer = (
            self._quota(claim)
            or self._serial()
            or self._promised(claim)
            or self._room(claim)
            or self._before(claim)
        )
        if answer is None:
            self._let_in(claim)
            return Admission(True)
        if not waits:
            del self.blocked[known:]
        return answer

    def _let_in(self, claim: Claim) -> None:
        budget = self.budgets.get(claim.job.namespace)
        if budget is not None:
            budget.take(claim.demand, claim.nodes)
        self.starting += 1
        if self.ledger is not None:
            placement = self.ledger.place(claim.demand, claim.nodes)
            self.ledger.take(claim.demand, placement)
            self.shares.add(claim, placement)
            self.running.append((claim, placement))

    def _quota(self, claim: Claim) -> Admission | None:
        budget = self.budgets.get(claim.job.namespace)
        if budget is None:
            return None
        lacking = budget.lacks(claim.demand, claim.nodes)
        if not lacking:
            return None
        if not budget.never_suffices(claim.demand, claim.nodes) and self._could_fit(claim):
            self.blocked.append(claim)
        return Admission(False, "QuotaExceeded", words.quota(claim, lacking))

    def _serial(self) -> Admission | None:
        if self.view.one_at_a_time and self.starting:
            return Admission(False, "WaitingForOthers", words.ONE_AT_A_TIME)
        return None

    def _times_in_all(self, claim: Claim) -> int:
        """How many of its pods all nodes would hold: few, for large pods."""
        assert self.ledger is not None
        return self.ledger.room_when_empty(claim.demand)

    def _promised(self, claim: Claim) -> Admission | None:
        """Nobody starts on nodes where one that was let in looks for room: it could not be kept for it."""
        ledger = self.ledger
        if ledger is None or not any(share_nodes(claim, one, ledger) for one in self.homeless):
            return None
        return Admission(False, "WaitingForOthers", words.PROMISED)

    def _room(self, claim: Claim) -> Admission | None:
        """Whether there is a node for each of its pods."""
        if self.ledger is None:
            return None
        room = self.ledger.room(claim.demand)
        if room >= claim.nodes:
            return None
        if not self._could_fit(claim):
            return Admission(False, "WaitingForCapacity", words.too_big(claim, self.ledger))
        self.blocked.append(claim)
        return Admission(False, "WaitingForCapacity", words.no_room(claim, room, self.ledger))

    def _could_fit(self, claim: Claim) -> bool:
        """Whether it would find room once all gangs that run have ended: else nobody waits for it."""
        if self.ledger is None:
            return True
        ledger = self.ledger.copy()
        for holder, placement in self.running:
            ledger.give(holder.demand, placement)
        return ledger.room(claim.demand) >= claim.nodes

    def _before(self, claim: Claim) -> Admission | None:
        """The first gang before it that could lose by it, if there is one."""
        seen: set[tuple[int, int, str]] = set()
        for waiting in self.blocked:
            shape = (id(waiting.demand), waiting.nodes, waiting.job.namespace)
            if shape in seen:
                continue
            seen.add(shape)
            if len(seen) > MAX_SHAPES or self._takes_from(waiting, claim):
                self.blocked.append(claim)
                return Admission(False, "BehindOthers", words.behind(waiting))
        return None

    def _takes_from(self, waiting: Claim, claim: Claim) -> bool:
        budget = self.budgets.get(claim.job.namespace)
        if budget is not None and waiting.job.namespace == claim.job.namespace:
            enough = budget.suffices_after(waiting.demand, waiting.nodes, claim.demand, claim.nodes)
        else:
            enough = True
        if not enough:
            return True
        if self.ledger is None or not share_nodes(waiting, claim, self.ledger):
            return False
        # where a gang that is on its way will be is for the scheduler to say: one at a time passes
        return self.starting > 0 or harms(waiting, claim, self.ledger, self.shares)


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    found = dict(one)
    for name, count in other.items():
        found[name] = found.get(name, 0) + count
    return found
