"""Every provider, by the name that an installation chooses it by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from ..kube.api import ClusterApi
from ..kube.store import PodStore
from ..types import PlanSettings, Provider
from .at_once import AtOnce
from .by_queue import ByQueue, names_queue
from .default import OwnQueue
from .kueue import KueueQueue
from .provider import GangScheduler


def gang_scheduler(
    api: ClusterApi,
    pods: PodStore,
    settings: PlanSettings,
    wake: Callable[[tuple[str, str]], None],
    namespace: str = "",
    *,
    by_nodes: bool = True,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> GangScheduler:
    """Who decides when gangs of this installation may start.

    Args:
        api: the API server.
        pods: worker pods that are known.
        settings: what the installation says; its ``provider`` is for jobs that name a queue.
        wake: has a job looked at.
        namespace: only jobs of it; empty = all.
        by_nodes: whether the operator's own queue counts room by nodes.
        clock: the current moment, UTC.
    """
    if not settings.provider.has_queues:
        return OwnQueue(api, pods, settings, wake, namespace, by_nodes=by_nodes, clock=clock)
    own = OwnQueue(
        api, pods, settings, wake, namespace, by_nodes=by_nodes, elsewhere=names_queue, clock=clock
    )
    if settings.provider is Provider.VOLCANO:
        # it holds the pods of a gang itself until its queue has room for all of them
        return ByQueue(own, AtOnce())
    return ByQueue(own, KueueQueue(api, settings, wake, namespace, clock))
