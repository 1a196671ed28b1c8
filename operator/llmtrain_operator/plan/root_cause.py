"""The root cause among several ranks' evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from llmtrain_api import Failure, FailureClass, WaitsIn

from ..manifests.pod import CONTAINER
from .evidence import Evidence

OTHER_ORDER = "the ranks do not run the same operations in the same order"
_LATEST = datetime.max.replace(tzinfo=UTC)


def root_cause(found: list[Evidence]) -> Evidence:
    """The one the others followed from.

    An echo never outranks a first-hand account; a pod taken away from outside explains its peers' errors;
    of ranks that all wait for others it is the one that fell behind; then the earliest, then the lowest rank.

    Args:
        found: at least one.
    """
    waiting = {e.rank: e.waits_in for e in found if e.cascade and e.waits_in is not None}
    behind = _behind(waiting)
    root = min(
        found,
        key=lambda e: (
            e.cascade,
            e.failure_class is not FailureClass.INFRASTRUCTURE,
            behind is not None and e.rank != behind,
            e.at or _LATEST,
            e.rank,
        ),
    )
    if root.rank != behind or not root.cascade:
        return root
    others = [e for e in found if e.rank in waiting and e.waits_in != root.waits_in]
    other = min(others, key=lambda e: e.rank)
    return replace(root, message=f"{root.message}; {other.message}: {OTHER_ORDER}")


def _behind(waiting: dict[int, WaitsIn]) -> int | None:
    """The rank that waits in another collective operation than its peers: in an earlier one, or in one that
    fewer of them wait in; None where all wait in the same one."""
    places = Counter(waiting.values())
    if len(places) < 2:
        return None
    return min(waiting, key=lambda rank: (waiting[rank].number, places[waiting[rank]], rank))


def as_failure(root: Evidence, now: datetime) -> Failure:
    """The evidence as the status tells it."""
    return Failure(
        failure_class=root.failure_class,
        message=(root.message or "no reason given")[:4096],
        reason=root.reason,
        hint=root.hint[:4096] if root.hint else None,
        rank=root.rank,
        node=root.node[:256] if root.node else None,
        container=CONTAINER,
        exit_code=root.exit_code,
        log_tail=root.log_tail[-4096:] if root.log_tail else None,
        time=root.at or now,
    )
