"""What one pod asks of a node, read from its manifest: so whatever a manifest may say is counted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..types import Manifest
from .values import SCALE, Amounts, Demand, Expression, Tolerated, amount, total

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def demand_of(pod: Manifest) -> Demand:
    """The demand of a pod, by the scheduler's own rule: the containers together, or the largest of the init
    containers where that is more, and the runtime's overhead.

    Args:
        pod: its manifest.
    """
    spec = pod["spec"]
    return Demand(
        requests={**_effective(spec, "requests"), "pods": SCALE},
        limits=_effective(spec, "limits"),
        selector=dict(spec.get("nodeSelector") or {}),
        affinity=_affinity(spec.get("affinity") or {}),
        tolerations=tuple(
            Tolerated(
                t.get("key") or "", t.get("operator") or "Equal", t.get("value") or "", t.get("effect") or ""
            )
            for t in spec.get("tolerations") or ()
        ),
        priority_class=spec.get("priorityClassName") or "",
    )


def requests_of(spec: dict[str, Any]) -> Amounts:
    """What a pod of that spec takes of its node, itself as one of ``pods``."""
    return {**_effective(spec, "requests"), "pods": SCALE}


def _effective(spec: dict[str, Any], side: str) -> dict[str, int]:
    inits = spec.get("initContainers") or ()
    sidecars = [_amounts(c, side) for c in inits if c.get("restartPolicy") == "Always"]
    found = total([*(_amounts(c, side) for c in spec.get("containers") or ()), *sidecars])
    for container in inits:
        if container.get("restartPolicy") != "Always":
            for name, value in _amounts(container, side).items():
                found[name] = max(found.get(name, 0), value)
    overhead = {name: amount(text) for name, text in (spec.get("overhead") or {}).items()}
    return total([found, overhead])


def _amounts(container: dict[str, Any], side: str) -> dict[str, int]:
    """A request that is not there is that of the limit, as the API server fills it in."""
    resources = container.get("resources") or {}
    given = dict(resources.get(side) or {})
    if side == "requests":
        given = {**(resources.get("limits") or {}), **given}
    return {name: amount(text) for name, text in given.items()}


def _affinity(affinity: dict[str, Any]) -> tuple[tuple[Expression, ...], ...]:
    required = (affinity.get("nodeAffinity") or {}).get(REQUIRED) or {}
    terms = required.get("nodeSelectorTerms") or ()
    return tuple(
        expressions(term.get("matchExpressions")) + expressions(term.get("matchFields")) for term in terms
    )


def expressions(terms: Iterable[dict[str, Any]] | None) -> tuple[Expression, ...]:
    """Terms of a selector as values."""
    return tuple(
        Expression(t.get("key") or "", t.get("operator") or "", tuple(t.get("values") or ()))
        for t in terms or ()
    )
