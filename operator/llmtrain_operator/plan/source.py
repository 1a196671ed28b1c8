"""The checkpoint of another job: nothing begins before it is known where it lies."""

from __future__ import annotations

from dataclasses import replace

from ..types import Plan
from .begin import refused
from .situation import Situation

AGAIN_SECONDS = 60.0
"""The other job may be applied later, and nothing wakes this one then."""
NO_CHECKPOINT = "NoCheckpoint"


def find_source(s: Situation) -> Plan | None:
    """A job that is to go on from another one's checkpoint begins nothing before it can."""
    source = s.seen.source
    if s.attempt is not None or source is None or source.uri is not None:
        return None
    return replace(refused(s, NO_CHECKPOINT, source.message), requeue_after=AGAIN_SECONDS)
