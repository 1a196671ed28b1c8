"""Condition ``Straggler``: a rank that is slower than its peers, by name and node.

It is told, and nothing is done about it: only a person knows whether the node is ill or shared.
"""

from __future__ import annotations

from llmtrain_api import ConditionType, JobStatus, Phase

from .conditions import with_condition
from .situation import Situation

STRAGGLER: ConditionType = "Straggler"


def with_straggler(s: Situation, status: JobStatus) -> JobStatus:
    """The status with what the newest report says of a slow rank; a rank that is on record already is not
    written again for other figures."""
    report, known = s.seen.report, s.status.condition(STRAGGLER)
    if report is None or s.spec is None or status.phase is not Phase.RUNNING:
        return status
    found, is_known = report.report.straggler, known is not None and known.status == "True"
    if found is None:
        return with_condition(status, STRAGGLER, False, "Even", "", s.now) if is_known else status
    pod = s.current.get(found.rank // s.spec.local_world_size)
    if pod is None:
        # a rank that cannot be
        return status
    named = f"rank {found.rank} (pod {pod.name}, node {pod.node or 'unknown'}) "
    if known is not None and is_known and known.message.startswith(named):
        return status
    text = (
        f"{named}computes {found.times:.1f} times as long as the median of the other ranks, "
        f"{found.seconds:.3g} s a step, and all wait for it: see what else runs on that node, and its GPU's "
        "clock, temperature and errors"
    )
    return with_condition(status, STRAGGLER, True, "SlowRank", text, s.now)
