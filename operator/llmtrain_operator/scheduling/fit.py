"""Whether, and how often, a pod fits on a node: the scheduler's filters that can be told in advance."""

from __future__ import annotations

from collections.abc import Mapping

from .values import Amounts, Demand, Expression, Node

NAME_FIELD = "metadata.name"
"""The only field of a node that an affinity may name."""
REPELLING = frozenset({"NoSchedule", "NoExecute"})


def may_run_on(demand: Demand, node: Node) -> bool:
    """Whether the node's labels and taints let the pod in, and its kubelet answers."""
    return not refusal(demand, node)


def refusal(demand: Demand, node: Node) -> str:
    """What keeps the pod off the node, whatever is free there; empty where nothing does."""
    if not node.ready:
        return "not ready"
    for key, value in demand.selector.items():
        if node.labels.get(key) != value:
            return f"without label {key}={value}"
    if demand.affinity and not _is_wanted(demand, node):
        return "not in the node affinity"
    for taint in node.taints:
        if taint.effect in REPELLING and not any(t.covers(taint) for t in demand.tolerations):
            return f"with taint {taint.key}={taint.value}:{taint.effect}, which is not tolerated"
    return ""


def _is_wanted(demand: Demand, node: Node) -> bool:
    known = {**node.labels, NAME_FIELD: node.name}
    return any(all(holds(term, known) for term in terms) for terms in demand.affinity if terms)


def holds(term: Expression, labels: Mapping[str, str]) -> bool:
    """One term over labels; a term of a kind that is not known does not hold."""
    value = labels.get(term.key)
    match term.operator:
        case "In":
            return value in term.values
        case "NotIn":
            return value not in term.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compared(value, term)
        case _:
            return False


def _compared(value: str | None, term: Expression) -> bool:
    try:
        mine, other = int(value or ""), int(term.values[0])
    except (ValueError, IndexError):
        return False
    return mine > other if term.operator == "Gt" else mine < other


def times(free: Amounts, requests: Amounts) -> int:
    """How many such pods fit into what is free."""
    return min((max(0, free.get(name, 0)) // need for name, need in requests.items() if need), default=0)
