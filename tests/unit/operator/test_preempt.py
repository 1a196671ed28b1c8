"""Which gangs are ended for a more urgent one: only those that may be, as few as needed, or none."""

from __future__ import annotations

from itertools import combinations

from harness.gangs import claim, demand, node, view
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrain_operator.scheduling.admit import look
from llmtrain_operator.scheduling.values import Claim, View

BIG = demand(cpu=8)


def full(*holders: Claim) -> View:
    """Each node is wholly held by whoever is on it."""
    used = {name: BIG.requests for holder in holders for name in holder.placed}
    return view(*(node(f"n{i}", cpu=8) for i in range(4)), used=used)


def held(name: str, *nodes: int, priority: int = 0, at: float = 0.0, **fields: bool) -> Claim:
    placed = {f"n{i}": 1 for i in nodes}
    fields = {"yields": True} | fields
    return claim(name, len(nodes), BIG, at, placed=placed, made=len(nodes), priority=priority, **fields)


def ended(holders: list[Claim], *queue: Claim) -> dict[str, str]:
    """Who goes, and for whom."""
    found = look(holders, queue, full(*holders)).preempted
    return {uid.removeprefix("uid-"): job.name for uid, job in found.items()}


def test_the_least_urgent_goes_and_of_equals_who_came_last() -> None:
    holders = [
        held("old", 0, at=1),
        held("new", 1, at=2),
        held("mid", 2, priority=1),
        held("top", 3, priority=2),
    ]
    assert ended(holders, claim("urgent", 1, BIG, 9, priority=5)) == {"new": "urgent"}
    assert ended(holders, claim("urgent", 3, BIG, 9, priority=5)).keys() == {"old", "new", "mid"}


def test_who_is_not_needed_stays() -> None:
    """The small one would go first, and is of no use beside the large one."""
    holders = [held("small", 0, at=2), held("large", 1, 2, 3, priority=1)]
    assert ended(holders, claim("urgent", 3, BIG, 9, priority=5)) == {"large": "urgent"}


def test_nobody_goes_in_vain_or_for_an_equal_or_against_its_will() -> None:
    stays = held("stays", 0, 1, yields=False)
    goes = held("goes", 2, 3)
    assert ended([stays, goes], claim("urgent", 3, BIG, 9, priority=5)) == {}
    assert ended([stays, goes], claim("equal", 2, BIG, 9)) == {}
    assert ended([stays, goes], claim("urgent", 2, BIG, 9, priority=5)) == {"goes": "urgent"}


def test_room_of_who_leaves_is_waited_for() -> None:
    holders = [held("leaves", 0, 1, leaves=True), held("goes", 2, 3)]
    assert ended(holders, claim("urgent", 2, BIG, 9, priority=5)) == {}


def test_only_the_first_in_the_queue_takes_a_place() -> None:
    """Who is behind it would not start all the same."""
    holders = [held("stays", 0, 1, yields=False), held("goes", 2, 3)]
    first, second = claim("first", 4, BIG, 8, priority=9), claim("second", 2, BIG, 9, priority=5)
    assert ended(holders, first, second) == {}


GANGS = st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), min_size=4, max_size=4)


@settings(max_examples=200, deadline=None)
@given(GANGS, st.integers(1, 4), st.integers(0, 4))
def test_it_suffices_and_nobody_of_them_could_stay(
    gangs: list[tuple[int, bool, bool]], wanted: int, priority: int
) -> None:
    holders = [
        held(f"j{i}", i, priority=rank, at=i, yields=yields, leaves=leaves)
        for i, (rank, yields, leaves) in enumerate(gangs)
    ]
    first = claim("first", wanted, BIG, 9, priority=priority)
    gone = ended(holders, first).keys()
    by_name = {h.job.name: h for h in holders}
    assert all(by_name[n].yields and by_name[n].priority < priority for n in gone)
    leaving = sum(h.leaves for h in holders)
    may = [h for h in holders if h.yields and not h.leaves and h.priority < priority]
    enough = [
        len(some) for k in range(len(may) + 1) for some in combinations(may, k) if leaving + k >= wanted
    ]
    assert len(gone) == (min(enough) if enough else 0)
