"""A gang that has failed and whose pods stay for a while, so that a person can look around in them.

The launchers do that: their pods run on, and the failure is taken up when they end. So nothing is decided
here but what is told.
"""

from __future__ import annotations

from llmtrain_api import to_rfc3339
from llmtrain_api.names import HELD

from .secrets import masked
from .situation import Situation


def held_for_debugging(s: Situation) -> tuple[str, str] | None:
    """Why ranks have failed and until when their pods are held; None while they are not.

    What is on record counts until the attempt ends: an operator that has just begun has no report yet.
    """
    if s.attempt is None:
        return None
    told = s.seen.report.report.held if s.seen.report is not None else None
    if told is None:
        known = s.status.waiting
        return (HELD, known.message) if known is not None and known.reason == HELD else None
    name = s.job.metadata.name
    return HELD, (
        f"{masked(told.message)}; the pods are held until {to_rfc3339(told.until)}: `llmtrain debug {name}` "
        f"opens a shell in one, `llmtrain debug {name} --release` ends that"
    )
