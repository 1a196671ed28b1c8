"""Whether the quotas of a namespace would take a whole gang."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .fit import holds
from .values import SCALE, Amounts, Claim, Demand, Quota, shown

PRIORITY_SCOPE = "PriorityClass"


class Budget:
    """What the quotas of one namespace have left. Changes only by `take`."""

    def __init__(self, quotas: Iterable[Quota]) -> None:
        self._quotas = [q for q in quotas if q.counts]
        self._left = [{key: hard - q.used.get(key, 0) for key, hard in q.hard.items()} for q in self._quotas]

    def take(self, demand: Demand, pods: int) -> None:
        """So many pods are counted from now on."""
        for quota, left in zip(self._quotas, self._left, strict=True):
            for key, need in _counted(quota, demand, pods).items():
                left[key] -= need

    def lacks(self, demand: Demand, pods: int) -> list[str]:
        """What does not suffice for so many pods, in words with numbers."""
        found = []
        for quota, left in zip(self._quotas, self._left, strict=True):
            for key, need in _counted(quota, demand, pods).items():
                if need > left[key]:
                    found.append(
                        f"quota {quota.name}: {key} {shown(key, need)} needed, "
                        f"{shown(key, max(left[key], 0))} left of {shown(key, quota.hard[key])}"
                    )
        return found

    def suffices_after(self, demand: Demand, pods: int, other: Demand, others: int) -> bool:
        """Whether there is enough for a gang even when another one has come before it."""
        return not any(
            need + _counted(quota, other, others).get(key, 0) > left[key]
            for quota, left in zip(self._quotas, self._left, strict=True)
            for key, need in _counted(quota, demand, pods).items()
            if _counted(quota, other, others).get(key, 0)
        )

    def never_suffices(self, demand: Demand, pods: int) -> bool:
        """Whether a gang needs more than a quota allows in all."""
        return any(
            need > quota.hard[key]
            for quota in self._quotas
            for key, need in _counted(quota, demand, pods).items()
        )


def budgets_of(quotas: Mapping[str, tuple[Quota, ...]], holders: Iterable[Claim]) -> dict[str, Budget]:
    """What is left by namespace, less the pods of gangs that were let in and are not made yet."""
    found = {namespace: Budget(known) for namespace, known in quotas.items()}
    for claim in holders:
        budget = found.get(claim.job.namespace)
        if budget is not None:
            budget.take(claim.demand, max(0, claim.nodes - claim.made))
    return found


def _counted(quota: Quota, demand: Demand, pods: int) -> dict[str, int]:
    """What a quota counts of so many pods, by its own keys."""
    if not all(holds(term, _scope(demand)) for term in quota.priority):
        return {}
    counted: dict[str, int] = {}
    for key in quota.hard:
        need = _need(key, demand)
        if need:
            counted[key] = need * pods
    return counted


def _need(key: str, demand: Demand) -> int:
    """What one pod counts under a quota's key; 0 for keys of other things than pods."""
    if key in ("pods", "count/pods"):
        return SCALE
    side, dot, resource = key.partition(".")
    amounts: Amounts = demand.requests
    if dot and side == "limits":
        amounts = demand.limits
    elif not dot or side != "requests":
        resource = key
    return 0 if resource == "pods" else amounts.get(resource, 0)


def _scope(demand: Demand) -> dict[str, str]:
    return {PRIORITY_SCOPE: demand.priority_class} if demand.priority_class else {}
