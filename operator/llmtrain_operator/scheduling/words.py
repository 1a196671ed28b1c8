"""Why a gang waits, in sentences with numbers."""

from __future__ import annotations

from collections import Counter

from .fit import refusal
from .ledger import Ledger
from .values import Claim, Demand, shown

MOST_REASONS = 3
ONE_AT_A_TIME = (
    "another gang is not on its nodes yet: gangs start one after the other, as the operator may not list "
    "nodes and pods of the cluster"
)

PROMISED = "a gang that was let in before has pods without a node, and there is none for all of them now"


def each(demand: Demand) -> str:
    """What one pod asks for."""
    asked = (
        f"{name} {shown(name, need)}"
        for name, need in sorted(demand.requests.items())
        if name != "pods" and need
    )
    return ", ".join(asked) or "nothing"


def no_room(claim: Claim, room: int, ledger: Ledger) -> str:
    """How many pods find a node, and what is free for them."""
    return (
        f"{room} of {claim.nodes} pods would find a node, short of {claim.nodes - room}: each needs "
        f"{each(claim.demand)}; {_free(claim.demand, ledger)}"
    )


def at_least(claim: Claim) -> str:
    """That a gang would start with fewer nodes than it wants, and with how many."""
    if claim.least is None or claim.least >= claim.nodes:
        return ""
    return f" (minNodes {claim.least}: it would start with so many of {claim.nodes})"


def fewer(claim: Claim, size: int) -> str:
    """Why a gang starts with fewer nodes than it wants."""
    return f"there was room for {size} of {claim.nodes} pods, each of {each(claim.demand)}"


def too_big(claim: Claim, ledger: Ledger) -> str:
    """The cluster has not that much beside what others than jobs of this kind hold."""
    most = ledger.room_when_empty(claim.demand)
    held = f"the nodes hold {most} of them when nothing else runs"
    if most >= claim.nodes:
        held = "pods that are no job's hold what it lacks"
    return (
        f"no end of running jobs makes room for it: each of {claim.nodes} pods needs {each(claim.demand)}, "
        f"and {held}; {_free(claim.demand, ledger)}; jobs after it start meanwhile"
    )


def _free(demand: Demand, ledger: Ledger) -> str:
    nodes = ledger.eligible(demand)
    if not nodes:
        return f"none of {len(ledger.nodes)} nodes lets them in{_refusals(demand, ledger)}"
    free = (
        f"{name} {shown(name, sum(max(0, ledger.free[node].get(name, 0)) for node in nodes))}"
        for name, need in sorted(demand.requests.items())
        if name != "pods" and need
    )
    shut = f"; of the others{_refusals(demand, ledger)}" if len(nodes) < len(ledger.nodes) else ""
    return f"free on the {len(nodes)} of {len(ledger.nodes)} nodes that let them in: {', '.join(free)}{shut}"


def _refusals(demand: Demand, ledger: Ledger) -> str:
    """What keeps such pods off the nodes, the most frequent first."""
    reasons = (refusal(demand, node) for node in ledger.nodes.values())
    found = Counter(reason for reason in reasons if reason).most_common()
    told = [f"{count} {reason}" for reason, count in found[:MOST_REASONS]]
    rest = sum(count for _, count in found[MOST_REASONS:])
    return f": {', '.join([*told, *([f'{rest} others'] if rest else [])])}" if told else ""


def quota(claim: Claim, lacking: list[str]) -> str:
    """What the namespace's quotas lack."""
    return f"{claim.nodes} pods do not fit into namespace {claim.job.namespace}: {'; '.join(lacking)}"


def behind(waiting: Claim) -> str:
    """There is room, but somebody who was there before could lose by it."""
    job = waiting.job
    return (
        f"it would take room that job {job.namespace}/{job.name} waits for, which is before it in the queue"
    )
