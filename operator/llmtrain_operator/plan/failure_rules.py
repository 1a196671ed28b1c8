"""What a user's rules make of a failure, and which nodes the next attempt keeps off."""

from __future__ import annotations

from datetime import timedelta

from llmtrain_api import Charge, Failure, FailureClass, JobStatus, changed
from llmtrain_api.schema.recovery import FailureAction, FailureRule
from llmtrain_api.schema.status import MAX_AVOIDED_NODES

from .attempts import charge_of
from .situation import Situation

NODE_WINDOW = timedelta(hours=24)


def action_of(s: Situation, failure: Failure) -> FailureAction | None:
    """What the first rule that matches asks for; None where none does."""
    rules = s.spec.recovery.rules if s.spec else []
    return next((rule.action for rule in rules if _matches(rule, failure)), None)


def _matches(rule: FailureRule, failure: Failure) -> bool:
    """Whether all that the rule names is so."""
    said = f"{failure.message}\n{failure.log_tail or ''}"
    return (
        (not rule.classes or failure.failure_class in rule.classes)
        and (not rule.reasons or failure.reason in rule.reasons)
        and (not rule.exit_codes or failure.exit_code in rule.exit_codes)
        and (rule.log is None or rule.log in said)
    )


def charge_with(failure: Failure, action: FailureAction | None) -> Charge:
    """Who pays for a failure when a rule asks for that."""
    if action is FailureAction.RESTART_AVOIDING_NODE:
        return Charge.INFRASTRUCTURE
    return Charge.APPLICATION if action is FailureAction.RESTART else charge_of(failure)


def earlier_ends(s: Situation, failure: Failure) -> int:
    """How many earlier attempts the node of an infrastructure failure has ended within a day."""
    if failure.node is None or failure.failure_class is not FailureClass.INFRASTRUCTURE:
        return 0
    return sum(
        a.node == failure.node
        and a.charge is Charge.INFRASTRUCTURE
        and a.ended_at is not None
        and s.now - a.ended_at < NODE_WINDOW
        for a in s.status.attempts
    )


def avoided_nodes(s: Situation, failure: Failure, action: FailureAction | None) -> list[str]:
    """Nodes that the next attempt keeps off: those that the last one did, and the failure's own where a rule
    says so or it has ended an attempt before. The newest first, and no more than a status may hold."""
    before = s.this_attempt.avoided_nodes or []
    guilty = action is FailureAction.RESTART_AVOIDING_NODE or earlier_ends(s, failure) > 0
    new = [failure.node] if guilty and failure.node else []
    return list(dict.fromkeys([*new, *before]))[:MAX_AVOIDED_NODES]


def with_avoided_nodes(status: JobStatus, nodes: list[str]) -> JobStatus:
    """The status of an attempt that is about to begin, with what its pods keep off on record."""
    if not nodes:
        return status
    new = changed(status.attempts[-1], avoided_nodes=nodes)
    return changed(status, attempts=[*status.attempts[:-1], new])
