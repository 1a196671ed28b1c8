"""What is free on each node, and where a gang would go."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from .fit import may_run_on, times
from .values import Amounts, Demand, Node

Placement = dict[str, int]
"""Pods by node."""


class Ledger:
    """Free amounts by node. Changes only by `take` and `give`.

    Args:
        nodes: all nodes.
        used: what pods on them request.
    """

    def __init__(self, nodes: tuple[Node, ...], used: Mapping[str, Amounts]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self.free = {node.name: minus(node.allocatable, used.get(node.name, {})) for node in nodes}
        self._eligible: dict[int, tuple[Demand, list[str]]] = {}

    def copy(self) -> Ledger:
        """A ledger of its own with the same amounts."""
        other = Ledger((), {})
        other.nodes, other._eligible = self.nodes, self._eligible
        other.free = {name: dict(free) for name, free in self.free.items()}
        return other

    def eligible(self, demand: Demand) -> list[str]:
        """Nodes whose labels and taints let such a pod in, by name."""
        known = self._eligible.get(id(demand))
        if known is None or known[0] is not demand:
            found = sorted(name for name, node in self.nodes.items() if may_run_on(demand, node))
            known = self._eligible[id(demand)] = (demand, found)
        return known[1]

    def room(self, demand: Demand) -> int:
        """How many such pods would find a node now."""
        return sum(times(self.free[name], demand.requests) for name in self.eligible(demand))

    def room_when_empty(self, demand: Demand) -> int:
        """How many such pods the nodes could hold if nothing else ran."""
        return sum(times(self.nodes[n].allocatable, demand.requests) for n in self.eligible(demand))

    def place(self, demand: Demand, pods: int) -> Placement:
        """Where that many pods would go, as many as find a node; nothing is taken.

        Spread as the scheduler spreads them, one a node where there is room: the next goes to the node that
        has the fewest of this gang, and of those to the one that has room for most.
        """
        heap = [(0, -times(self.free[name], demand.requests), name) for name in self.eligible(demand)]
        heap = [entry for entry in heap if entry[1] < 0]
        heapq.heapify(heap)
        found: Placement = {}
        while heap and pods > 0:
            count, left, name = heapq.heappop(heap)
            found[name] = count + 1
            pods -= 1
            if left + 1 < 0:
                heapq.heappush(heap, (count + 1, left + 1, name))
        return found

    def take(self, demand: Demand, placement: Mapping[str, int]) -> None:
        """These pods are there from now on."""
        self._add(demand, placement, -1)

    def give(self, demand: Demand, placement: Mapping[str, int]) -> None:
        """These pods are gone from now on; those on nodes that are gone too give nothing."""
        self._add(demand, placement, 1)

    def _add(self, demand: Demand, placement: Mapping[str, int], sign: int) -> None:
        for name, count in placement.items():
            free = self.free.get(name)
            if free is None:
                continue
            for resource, need in demand.requests.items():
                free[resource] = free.get(resource, 0) + sign * need * count


def minus(whole: Amounts, part: Amounts) -> dict[str, int]:
    """What is left, below 0 where more is used than there is."""
    return {name: value - part.get(name, 0) for name, value in whole.items()}
