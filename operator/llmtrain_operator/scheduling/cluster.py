"""What the cluster has: nodes and what pods on them request, kept true by reflectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, TypeVar

from ..kube.api import ClusterApi
from ..kube.reflector import Reflector
from .objects import Seen, SeenClass, SeenNode, SeenPod, decode_any_pod, decode_class, decode_node
from .values import Amounts, Node

MAX_TOMBSTONES = 10_000
T = TypeVar("T", bound=Seen)


class Objects(Generic[T]):
    """Objects by UID: an older version never replaces a newer one, and what is gone does not come back."""

    def __init__(self) -> None:
        self.items: dict[str, T] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def get(self, uid: str) -> T | None:
        """The object with that UID."""
        return self.items.get(uid)

    def upsert(self, item: T, /) -> bool:
        """Take one version. Returns whether it was news."""
        known = self.items.get(item.uid)
        if item.uid in self._gone or (known is not None and known.resource_version >= item.resource_version):
            return False
        self.items[item.uid] = item
        self.moved(known, item)
        return True

    def remove(self, uid: str, last: T | None = None) -> T | None:
        """Take a deletion. Returns what was known."""
        self._gone[uid] = None
        while len(self._gone) > MAX_TOMBSTONES:
            self._gone.popitem(last=False)
        known = self.items.pop(uid, None)
        self.moved(known, None)
        return known or last

    def absent(self, listed: Iterable[T], version: int) -> list[T]:
        """Known objects that a full list made at ``version`` should have had and has not."""
        uids = {item.uid for item in listed}
        return [i for i in self.items.values() if i.uid not in uids and i.resource_version <= version]

    def replace(self, items: Iterable[T], version: int, /) -> list[T]:
        """Take a full list. Returns what changed or went."""
        listed = list(items)
        lost = self.absent(listed, version)
        for item in lost:
            self.remove(item.uid)
        return lost + [item for item in listed if self.upsert(item)]

    def moved(self, before: T | None, after: T | None) -> None:
        """One object has changed, come or gone."""


class PodsOnNodes(Objects[SeenPod]):
    """All pods, with the sums that the ledger begins from.

    Attributes:
        used: requests of all pods on a node that have not ended, by node.
        placed: how many pods of a controller are on nodes and have not ended, by its UID and by node.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used: dict[str, dict[str, int]] = {}
        self.placed: dict[str, dict[str, int]] = {}

    def moved(self, before: SeenPod | None, after: SeenPod | None) -> None:
        """Count it where it is now, and no more where it was."""
        for pod, sign in ((before, -1), (after, 1)):
            if pod is None or not pod.node or pod.ended:
                continue
            used = self.used.setdefault(pod.node, {})
            for name, value in pod.requests.items():
                used[name] = used.get(name, 0) + sign * value
            if not used.get("pods"):
                del self.used[pod.node]
            if pod.owner:
                placed = self.placed.setdefault(pod.owner, {})
                placed[pod.node] = placed.get(pod.node, 0) + sign
                if not placed[pod.node]:
                    del placed[pod.node]
                if not placed:
                    del self.placed[pod.owner]


class Cluster:
    """Nodes, pods on them and priority classes.

    Args:
        api: the API server.
        changed: called when there may be more room, or less.
        nodes: whether to look at nodes at all.
    """

    def __init__(self, api: ClusterApi, changed: Callable[[], None], nodes: bool) -> None:
        self._nodes: Objects[SeenNode] = Objects()
        self._pods = PodsOnNodes()
        self._classes: Objects[SeenClass] = Objects()
        self._wants_nodes = nodes

        def tell(_: object) -> None:
            changed()

        self._of_classes = Reflector(api, "priorityclasses", "", decode_class, self._classes, tell)
        self._of_nodes = Reflector(api, "nodes", "", decode_node, self._nodes, tell)
        self._of_pods = Reflector(api, "pods", "", decode_any_pod, self._pods, tell)

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """What keeps it true; each runs until cancelled."""
        found = [self._of_classes.run()]
        return [*found, self._of_nodes.run(), self._of_pods.run()] if self._wants_nodes else found

    @property
    def ready(self) -> bool:
        """Whether all that may be known is."""
        if not _listed(self._of_classes):
            return False
        return not self._wants_nodes or (_listed(self._of_nodes) and _listed(self._of_pods))

    @property
    def nodes(self) -> tuple[Node, ...] | None:
        """All nodes; None where they, or the pods on them, may not be listed, or nobody wants to know."""
        if not self._wants_nodes or self._of_nodes.denied or self._of_pods.denied:
            return None
        return tuple(seen.node for seen in self._nodes.items.values())

    @property
    def used(self) -> dict[str, Amounts]:
        """Requests of all pods on a node that have not ended, by node."""
        return dict(self._pods.used)

    def placed(self, owner: str) -> dict[str, int]:
        """Pods of a controller that are on nodes and have not ended, by node."""
        return dict(self._pods.placed.get(owner, {}))

    def priority(self, name: str) -> int:
        """The value of a PriorityClass, or of the cluster's default; 0 where it is not known."""
        for seen in self._classes.items.values():
            if seen.name == name or (not name and seen.is_default):
                return seen.value
        return 0


def _listed(reflector: Reflector[T]) -> bool:
    """Whether its objects are known, or may not be."""
    return reflector.synced.is_set() or reflector.denied
