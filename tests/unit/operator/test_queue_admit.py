"""Which gang starts: room for all of its pods, priority, first come first served, and nobody pushed back."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

from harness.gangs import GPU, claim, demand, node, quota, view
from harness.jobs import later
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrain_operator.scheduling.admit import admit
from llmtrain_operator.scheduling.fit import times
from llmtrain_operator.scheduling.values import (
    SCALE,
    Claim,
    Demand,
    Expression,
    Node,
    Quota,
    Taint,
    View,
    total,
)

BIG, SMALL = demand(cpu=1, gpu=8), demand(cpu=1, gpu=4)
ONE = demand(cpu=1)


def admitted(holders: list[Claim], queue: list[Claim], seen: View) -> set[str]:
    return {
        uid.removeprefix("uid-") for uid, answer in admit(holders, queue, seen).items() if answer.admitted
    }


def test_all_that_fit_start_together() -> None:
    nodes = [node(f"n{i}", cpu=8, gpu=8) for i in range(4)]
    queue = [claim(f"j{i}", 1, BIG, i) for i in range(6)]
    assert admitted([], queue, view(*nodes)) == {"j0", "j1", "j2", "j3"}


def test_a_gang_starts_whole_or_not_at_all_and_says_what_is_short() -> None:
    nodes = [node("a", cpu=8, gpu=8), node("b", cpu=8, gpu=8), node("c", cpu=8, gpu=8)]
    runs = claim("runs", 1, BIG, placed={"c": 1})
    answer = admit([runs], [claim("j", 3, BIG)], view(*nodes, used={"c": BIG.requests}))["uid-j"]
    assert not answer.admitted
    assert answer.reason == "WaitingForCapacity"
    assert answer.position == 1
    assert "2 of 3 pods would find a node, short of 1" in answer.message
    assert f"{GPU} 8" in answer.message
    assert f"free on the 3 of 3 nodes that let them in: cpu 23, {GPU} 16" in answer.message


def test_room_that_pods_of_no_job_hold_is_told_as_such() -> None:
    used = {"a": demand(cpu=1).requests}
    answer = admit([], [claim("j", 2, ONE)], view(node("a", cpu=2), used=used))["uid-j"]
    assert "pods that are no job's hold what it lacks" in answer.message
    assert "nothing else runs" not in answer.message


def test_what_was_let_in_and_is_not_on_nodes_yet_keeps_its_room() -> None:
    nodes = [node("a", cpu=8, gpu=8), node("b", cpu=8, gpu=8)]
    assert admitted([claim("in", 2, BIG)], [claim("j", 1, SMALL, 1)], view(*nodes)) == set()
    half = claim("in", 2, BIG, placed={"a": 1})
    assert admitted([half], [claim("j", 1, BIG, 1)], view(*nodes, used={"a": BIG.requests})) == set()


def test_nobody_starts_while_one_that_was_let_in_finds_no_room() -> None:
    """Pods of the one may be where the room of the other was: what is left is not free for a third."""
    nodes = [node("a", cpu=8), node("b", cpu=8)]
    small, large = claim("small", 3, demand(cpu=2)), claim("large", 1, demand(cpu=8))
    for holders in ([small, large], [large, small]):
        assert admitted(holders, [claim("third", 3, demand(cpu=2), 1)], view(*nodes)) == set()
    spread = claim("small", 2, demand(cpu=2), placed={"a": 1, "b": 1})
    used = {name: demand(cpu=2).requests for name in ("a", "b")}
    answers = admit([spread, large], [claim("third", 1, demand(cpu=2), 1)], view(*nodes, used=used))
    assert answers["uid-third"].reason == "WaitingForOthers"


def test_priority_then_first_come() -> None:
    queue = [claim("old", 1, BIG, 0), claim("new", 1, BIG, 5), claim("urgent", 1, BIG, 9, priority=10)]
    answers = admit([], queue, view(node("a", cpu=8, gpu=8)))
    assert answers["uid-urgent"].admitted
    assert [answers[f"uid-{n}"].position for n in ("old", "new")] == [2, 3]


def test_a_later_gang_does_not_take_what_the_first_waits_for() -> None:
    """One node is free; the head needs two. Without the rule, small ones would pass it for ever."""
    nodes = [node("a", cpu=8, gpu=8), node("b", cpu=8, gpu=8)]
    runs = claim("runs", 1, BIG, placed={"a": 1})
    seen = view(*nodes, used={"a": BIG.requests})
    answers = admit([runs], [claim("head", 2, BIG, 0), claim("small", 1, SMALL, 1)], seen)
    assert not answers["uid-small"].admitted
    assert answers["uid-small"].reason == "BehindOthers"
    assert "default/head" in answers["uid-small"].message


def test_a_later_gang_passes_where_the_first_loses_nothing() -> None:
    """CPUs that a gang for GPUs never needs, and nodes that it may not use."""
    nodes = [node("a", cpu=64, gpu=8), node("b", cpu=64, gpu=8), node("other", cpu=4)]
    runs = claim("runs", 1, BIG, placed={"a": 1})
    seen = view(*nodes, used={"a": BIG.requests})
    head = claim("head", 2, BIG, 0)
    assert admitted([runs], [head, claim("cpus", 1, demand(cpu=4), 1)], seen) == {"cpus"}
    pinned = demand(gpu=1, cpu=1, selector={"pool": "x"})
    others = [*nodes, node("x", cpu=4, gpu=4, labels={"pool": "x"})]
    head = claim("head", 2, demand(cpu=1, gpu=8), 0)
    assert admitted([runs], [head, claim("j", 1, pinned, 1)], view(*others, used=seen.used)) == {"j"}


def test_one_gang_at_a_time_passes_on_shared_nodes() -> None:
    """Where the scheduler puts it is not known before it is there."""
    nodes = [node("a", cpu=64, gpu=8), node("b", cpu=64, gpu=8)]
    runs = claim("runs", 1, BIG, placed={"a": 1})
    queue = [claim("head", 2, BIG, 0), *(claim(f"c{i}", 1, demand(cpu=4), 1 + i) for i in range(3))]
    assert admitted([runs], queue, view(*nodes, used={"a": BIG.requests})) == {"c0"}


def test_what_can_never_start_keeps_nobody_waiting() -> None:
    nodes = [node("a", cpu=8, gpu=8)]
    answers = admit([], [claim("huge", 2, BIG, 0), claim("small", 1, SMALL, 1)], view(*nodes))
    assert answers["uid-small"].admitted
    assert "the nodes hold 1 of them when nothing else runs" in answers["uid-huge"].message


def test_nodes_that_let_nobody_in_are_told_beside_those_that_have_too_little() -> None:
    """The only node with such a device is tainted: what is free on the other is not the whole answer."""
    tainted = Taint(GPU, "present", "NoSchedule")
    nodes = [node("a", cpu=8), node("b", cpu=8, gpu=8, taints=(tainted,))]
    answer = admit([], [claim("j", 1, BIG)], view(*nodes))["uid-j"]
    assert (
        f"free on the 1 of 2 nodes that let them in: cpu 8, {GPU} 0; "
        f"of the others: 1 with taint {GPU}=present:NoSchedule, which is not tolerated" in answer.message
    )


def test_nodes_that_let_nobody_in_are_told() -> None:
    wanted = demand(cpu=1, selector={"pool": "h100"})
    pool = {"pool": "h100"}
    tainted = Taint("example.com/keep-off", "all", "NoSchedule")
    nodes = [node("a", cpu=8), node("b", cpu=8), node("c", cpu=8, labels=pool, taints=(tainted,))]
    answer = admit([], [claim("j", 1, wanted)], view(*nodes))["uid-j"]
    assert (
        "none of 3 nodes lets them in: 2 without label pool=h100, "
        "1 with taint example.com/keep-off=all:NoSchedule, which is not tolerated" in answer.message
    )
    asleep = view(replace(nodes[2], ready=False, taints=()))
    answer = admit([], [claim("j", 1, wanted)], asleep)["uid-j"]
    assert "none of 1 nodes lets them in: 1 not ready" in answer.message


def test_a_quota_that_would_refuse_one_pod_lets_none_be_made() -> None:
    seen = view(node("a", cpu=99), quotas={"default": (quota(hard_none=0), quota(pods=3, used={"pods": 1}))})
    answer = admit([], [claim("j", 3, ONE)], seen)["uid-j"]
    assert answer.reason == "QuotaExceeded"
    assert "quota q: pods 3 needed, 2 left of 3" in answer.message
    assert admitted([], [claim("j", 2, ONE)], seen) == {"j"}


def test_pods_that_are_still_to_be_made_count_against_the_quota() -> None:
    seen = view(node("a", cpu=99), quotas={"default": (quota(requests__cpu=4, used={"requests__cpu": 1}),)})
    holder = claim("in", 3, ONE, made=1)
    assert admitted([holder], [claim("j", 1, ONE, 1)], seen) == {"j"}
    assert admitted([holder], [claim("j", 2, ONE, 1)], seen) == set()


def test_within_a_namespace_nobody_takes_the_quota_that_the_first_waits_for() -> None:
    seen = view(node("a", cpu=99), quotas={"default": (quota(pods=4, used={"pods": 2}),)})
    queue = [claim("head", 3, ONE, 0), claim("small", 1, ONE, 1), claim("far", 1, ONE, 2, namespace="other")]
    assert admitted([], queue, seen) == {"far"}
    never = [claim("head", 5, ONE, 0), claim("small", 1, ONE, 1)]
    assert admitted([], never, seen) == {"small"}


def test_a_quota_of_a_priority_class_counts_that_class_only() -> None:
    high = Quota("high", {"pods": SCALE}, {}, (Expression("PriorityClass", "In", ("high",)),))
    seen = view(node("a", cpu=99), quotas={"default": (high,)})
    assert admitted([], [claim("j", 2, ONE)], seen) == {"j"}
    assert admitted([], [claim("j", 2, demand(cpu=1, priority_class="high"))], seen) == set()
    every = Quota("any", {"pods": SCALE}, {}, (Expression("PriorityClass", "Exists", ()),))
    assert admitted([], [claim("j", 2, ONE)], view(node("a", cpu=99), quotas={"default": (every,)})) == {"j"}


def test_without_nodes_gangs_start_one_after_the_other() -> None:
    seen = View(later(0), None, one_at_a_time=True)
    queue = [claim("first", 2, ONE, 0), claim("second", 2, ONE, 1)]
    assert admitted([], queue, seen) == {"first"}
    assert admitted([claim("first", 2, ONE, placed={"a": 1})], queue[1:], seen) == set()
    assert admitted([claim("first", 2, ONE, placed={"a": 1, "b": 1})], queue[1:], seen) == {"second"}


def test_where_nodes_come_when_needed_only_quotas_decide() -> None:
    assert admitted([], [claim("a", 99, BIG), claim("b", 99, BIG, 1)], View(later(0), None)) == {"a", "b"}


def test_who_has_given_room_back_waits_for_itself_and_keeps_nobody_else_waiting() -> None:
    nodes = [node("a", cpu=8, gpu=8)]
    queue = [claim("again", 1, BIG, 0, not_before=later(30)), claim("next", 1, BIG, 1)]
    answers = admit([], queue, view(*nodes))
    assert answers["uid-next"].admitted
    assert answers["uid-again"].retry_after == 30.0


def test_starts_are_estimated_from_what_running_jobs_expect() -> None:
    nodes = [node("a", cpu=8, gpu=8), node("b", cpu=8, gpu=8)]
    used = {"a": BIG.requests, "b": BIG.requests}
    running = [
        claim("one", 1, BIG, placed={"a": 1}, eta=later(600)),
        claim("two", 1, BIG, placed={"b": 1}, eta=later(300)),
    ]
    queue = [claim("first", 1, BIG, 0), claim("second", 1, BIG, 1), claim("third", 1, BIG, 2)]
    answers = admit(running, queue, view(*nodes, used=used))
    assert [answers[f"uid-{n}"].estimated_start for n in ("first", "second", "third")] == [
        later(300),
        later(600),
        None,
    ]


# -- properties ---------------------------------------------------------------------------------------------

DEMANDS = st.builds(demand, cpu=st.integers(1, 3), gpu=st.integers(0, 3))
NODES = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=3)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[Node], list[Claim], list[Claim]]:
    """Nodes; gangs that run on them, wholly placed; gangs that want to start."""
    nodes = [node(f"n{i}", cpu=cpu, gpu=gpu) for i, (cpu, gpu) in enumerate(draw(NODES))]
    free = {n.name: dict(n.allocatable) for n in nodes}
    holders = []
    for i, (wanted, pods) in enumerate(draw(st.lists(st.tuples(DEMANDS, st.integers(1, 2)), max_size=3))):
        placed: dict[str, int] = {}
        for _ in range(pods):
            fitting = [name for name in free if times(free[name], wanted.requests)]
            if not fitting:
                break
            name = draw(st.sampled_from(fitting))
            placed[name] = placed.get(name, 0) + 1
            free[name] = take(free[name], wanted, 1)
        if placed:
            holders.append(claim(f"h{i}", sum(placed.values()), wanted, placed=placed))
    shapes = draw(st.lists(st.tuples(DEMANDS, st.integers(1, 3)), min_size=1, max_size=4))
    return nodes, holders, [claim(f"q{i}", pods, wanted, i) for i, (wanted, pods) in enumerate(shapes)]


def take(free: dict[str, int], wanted: Demand, count: int) -> dict[str, int]:
    return {name: value - count * wanted.requests.get(name, 0) for name, value in free.items()}


def used_by(holders: list[Claim]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for holder in holders:
        for name, count in holder.placed.items():
            share = {resource: need * count for resource, need in holder.demand.requests.items()}
            found[name] = total([found.get(name, {}), share])
    return found


def can_place(free: list[dict[str, int]], gangs: list[Claim]) -> bool:
    """By going through all ways."""
    pods = [gang.demand for gang in gangs for _ in range(gang.nodes)]
    if not pods:
        return True
    first, rest = pods[0], [claim("rest", 1, wanted) for wanted in pods[1:]]
    return any(
        times(one, first.requests) and can_place([*free[:i], take(one, first, 1), *free[i + 1 :]], rest)
        for i, one in enumerate(free)
    )


@given(clusters())
@settings(max_examples=300, deadline=None)
def test_nothing_is_let_in_that_cannot_be_placed(
    cluster: tuple[list[Node], list[Claim], list[Claim]],
) -> None:
    nodes, holders, queue = cluster
    used = used_by(holders)
    found = admitted(holders, queue, view(*nodes, used=used))
    free = [dict(total([n.allocatable, {k: -v for k, v in used.get(n.name, {}).items()}])) for n in nodes]
    assert can_place(free, [gang for gang in queue if gang.job.name in found])
    if not found:
        assert not can_place(free, queue[:1]), "the first would fit"


@given(clusters())
@settings(max_examples=300, deadline=None)
def test_no_gang_is_ever_later_for_one_that_passed_it(
    cluster: tuple[list[Node], list[Claim], list[Claim]],
) -> None:
    """Wherever the scheduler puts who passed, and whichever gangs end: the one that waits fits if it did."""
    nodes, holders, queue = cluster
    found = admitted(holders, queue, view(*nodes, used=used_by(holders)))
    empty = free_of(nodes, [])
    waiting = [g for g in queue if g.job.name not in found and room(empty, g) >= g.nodes]
    if not waiting:
        return
    head = waiting[0]
    before = queue[: queue.index(head)]
    passing = [g for g in queue[queue.index(head) :] if g.job.name in found]
    if any(g.job.name in found for g in before):
        assert not passing, "where those before will be is not known yet"
    assert len(passing) <= 1, "one at a time"
    if not passing:
        return
    [later_one] = passing
    for ended in (s for size in range(len(holders) + 1) for s in combinations(holders, size)):
        left = [h for h in holders if h not in ended]
        for at in product(nodes, repeat=later_one.nodes):
            now = free_of(nodes, holders)
            for one in at:
                now[one.name] = take(now[one.name], later_one.demand, 1)
            if any(value < 0 for free in now.values() for value in free.values()):
                continue
            without = free_of(nodes, left)
            with_it = {name: dict(free) for name, free in without.items()}
            for one in at:
                with_it[one.name] = take(with_it[one.name], later_one.demand, 1)
            if room(without, head) >= head.nodes:
                assert room(with_it, head) >= head.nodes


def free_of(nodes: list[Node], holders: list[Claim]) -> dict[str, dict[str, int]]:
    used = used_by(holders)
    return {
        n.name: dict(total([n.allocatable, {k: -v for k, v in used.get(n.name, {}).items()}])) for n in nodes
    }


def room(free: dict[str, dict[str, int]], gang: Claim) -> int:
    return sum(times(one, gang.demand.requests) for one in free.values())
