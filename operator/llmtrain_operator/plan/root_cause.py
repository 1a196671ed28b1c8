"""The root cause among several ranks' evidence."""

from __future__ import annotations

from datetime import UTC, datetime

from llmtrain_api import Failure, FailureClass

from ..manifests.pod import CONTAINER
from .evidence import Evidence

_LATEST = datetime.max.replace(tzinfo=UTC)


def root_cause(found: list[Evidence]) -> Evidence:
    """The one the others followed from.

    An echo never outranks a first-hand account; a pod taken away from outside explains its peers' errors;
    then the earliest, then the lowest rank.

    Args:
        found: at least one.
    """
    return min(
        found,
        key=lambda e: (
            e.cascade,
            e.failure_class is not FailureClass.INFRASTRUCTURE,
            e.at or _LATEST,
            e.rank,
        ),
    )


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
