"""A rank failed: find out why, decide whether to start again, put it on record in one write."""

from __future__ import annotations

from llmtrain_api import Charge, Failure, FailureClass, JobStatus, Phase, Restarts, changed
from llmtrain_api.schema.recovery import FailureAction

from ..manifests.names import pod_name
from ..types import Plan, PodPhase
from .attempts import close_attempt, next_attempt
from .clock import seconds_left
from .evidence import Evidence, of_missing, of_pending, of_pod, of_silent_node
from .failure_rules import (
    action_of,
    avoided_nodes,
    charge_with,
    earlier_ends,
    with_avoided_nodes,
)
from .finish import fail
from .root_cause import as_failure, root_cause
from .situation import Situation
from .status import derive

DEFAULT_MAX_RESTARTS = 3
DEFAULT_MAX_INFRASTRUCTURE = 50
SILENT_RANK_SECONDS = 90.0
"""How long peers' echoes wait for the rank that has not said anything: a control plane needs up to 50 s to
notice that a node is gone."""
FINAL = frozenset({FailureClass.CONFIG_ERROR, FailureClass.DIVERGED})
"""Failures that another attempt would only repeat: manifest, samples and arithmetic are the same."""


def recover(s: Situation) -> Plan | None:
    """The next attempt or the end, once the evidence is in."""
    found = evidence(s)
    if not found:
        return None
    wait = seconds_to_settle(s, found)
    if wait > 0:
        return Plan(_noticed(s, derive(s)), requeue_after=wait)
    failure = with_node_hint(s, as_failure(root_cause(found), s.now))
    action = action_of(s, failure)
    closed = close_attempt(s, charged_to=charge_with(failure, action), failure=failure, found=found)
    reason = exhausted(s, closed.restarts, failure, action)
    if reason is not None:
        return fail(s, with_hint(failure, reason, failure.hint), found)
    new = next_attempt(s, closed, phase=Phase.RESTARTING, reason="Restarting", failure=failure)
    return Plan(with_avoided_nodes(new, avoided_nodes(s, failure, action)))


def evidence(s: Situation) -> list[Evidence]:
    """What each rank that is not coming back says. A rank without a pod counts once its pod has existed.

    A node that does not answer, or a rank that never ran, is no failure by itself: it may come yet. It is
    the reason where peers fail meanwhile.
    """
    found: list[Evidence] = []
    for rank in range(s.nodes):
        pod = s.current.get(rank)
        if pod is not None:
            evidence = of_pod(pod)
            if evidence is not None:
                found.append(evidence)
        elif s.this_attempt.created_at is not None or rank in s.seen.lost:
            found.append(of_missing(rank, pod_name(s.job.metadata.name, s.this_attempt.number, rank)))
    if not found:
        return []
    ranks = {e.rank for e in found}
    quiet = [p for p in s.current.values() if p.rank not in ranks and not p.terminal]
    found += [of_silent_node(p) for p in quiet if p.node_silent]
    if all(e.cascade for e in found):
        found += [of_pending(p) for p in quiet if p.phase is PodPhase.PENDING]
    return found


def seconds_to_settle(s: Situation, found: list[Evidence]) -> float:
    """How much longer to collect evidence: until every rank has ended, a few seconds after the first end,
    or a deleted pod's grace time. Nothing is known about when a missing pod went, so it is not waited on.

    Pods' clocks may be wrong, so no wait is longer than its own length since the operator saw the failure.
    """
    alive = [p for p in s.current.values() if not p.terminal and not p.node_silent]
    if not alive or len(s.current) < s.nodes:
        return 0.0
    noticed = s.this_attempt.failed_at or s.now
    if all(e.cascade for e in found):
        return seconds_left(noticed, SILENT_RANK_SECONDS, s.now)
    settings = s.seen.settings
    # by differences: there is no moment after the last one that a pod can name
    waits = [(e.at - s.now).total_seconds() + settings.evidence_seconds for e in found if e.at is not None]
    waits += [(p.deletion_deadline - s.now).total_seconds() for p in alive if p.deletion_deadline is not None]
    if not waits:
        return 0.0
    wait = min(waits)
    longest = max(settings.evidence_seconds, float(settings.grace_seconds))
    return min(wait, seconds_left(noticed, longest, s.now))


def _noticed(s: Situation, status: JobStatus) -> JobStatus:
    """With the moment of the first sign on record, by the operator's own clock."""
    record = status.attempts[-1]
    if record.failed_at is not None:
        return status
    return changed(status, attempts=[*status.attempts[:-1], changed(record, failed_at=s.now)])


def with_hint(failure: Failure, *parts: str | None) -> Failure:
    """The failure with a hint of these parts, as long as a hint may be."""
    return changed(failure, hint="; ".join(part for part in parts if part)[:4096])


def with_node_hint(s: Situation, failure: Failure) -> Failure:
    """A node that ends one attempt after the other is named as what to look at."""
    earlier = earlier_ends(s, failure)
    if not earlier:
        return failure
    advice = (
        f"node {failure.node} has ended {earlier + 1} attempts of this job within 24 hours: its pods keep "
        "off it where there is other room; look at it, or keep all pods away with: "
        f"kubectl cordon {failure.node}"
    )
    return with_hint(failure, failure.hint, advice)


def exhausted(
    s: Situation, counted: Restarts | None, failure: Failure, action: FailureAction | None = None
) -> str | None:
    """Why there is no further attempt; None when there is one.

    Infrastructure has a budget of its own. All else counts as application failures in a row without a newer
    checkpoint: progress refills it.

    Args:
        s: the situation.
        counted: restarts so far, with this failure among those since the newest checkpoint.
        failure: what happened.
        action: what the user wants of such failures; None where no rule of theirs matches.
    """
    if action is FailureAction.FAIL:
        return "a rule of recovery.rules ends the job"
    if failure.failure_class in FINAL and action is None:
        return "starting again would not help"
    recovery = s.spec.recovery if s.spec else None
    restarts = counted or Restarts()
    if charge_with(failure, action) is Charge.INFRASTRUCTURE:
        limit = recovery.max_infrastructure_restarts if recovery else DEFAULT_MAX_INFRASTRUCTURE
        if restarts.infrastructure >= limit:
            return f"gave up after {limit} infrastructure restarts (recovery.maxInfrastructureRestarts)"
        return None
    limit = recovery.max_restarts if recovery else DEFAULT_MAX_RESTARTS
    if restarts.since_checkpoint > limit:
        return f"gave up after {limit} restarts without a newer checkpoint (recovery.maxRestarts)"
    return None
