"""What one pod says about how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from llmtrain_api import FailureClass, Outcome, TerminationMessage
from llmtrain_api.messages import read_termination_message

from ..types import Pod, PodPhase


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why one rank is not coming back.

    Attributes:
        cascade: only the echo of another rank's end.
        at: when it ended, if anybody knows.
    """

    rank: int
    failure_class: FailureClass
    message: str
    cascade: bool = False
    hint: str | None = None
    node: str | None = None
    exit_code: int | None = None
    log_tail: str | None = None
    at: datetime | None = None
    checkpoint_step: int | None = None
    resumed_step: int | None = None


def said(pod: Pod) -> TerminationMessage | None:
    """The launcher's structured last words; None when it could not write any."""
    if pod.termination is None:
        return None
    return read_termination_message(pod.termination.message)


def of_missing(rank: int, name: str) -> Evidence:
    """A pod that existed and is gone from the API."""
    return Evidence(
        rank=rank,
        failure_class=FailureClass.INFRASTRUCTURE,
        message=f"pod {name} (rank {rank}) was deleted, or lost with its node",
    )


def of_pod(pod: Pod) -> Evidence | None:
    """Why this pod failed; None while there is nothing wrong with it.

    Read in this order: disruption and deletion, out of memory, the launcher's message, the exit code.
    """
    if pod.deletion_deadline is None and pod.phase is not PodPhase.FAILED:
        return None
    outside = _from_outside(pod)
    if outside is not None:
        return _infrastructure(pod, outside)
    if pod.termination is None:
        return _infrastructure(pod, f"pod {pod.name} failed: {pod.reason or 'no reason given'} {pod.message}")
    if pod.termination.reason == "OOMKilled":
        return _out_of_memory(pod)
    message = said(pod)
    return _from_launcher(pod, message) if message else _from_exit_code(pod)


def _from_outside(pod: Pod) -> str | None:
    """What somebody else did to the pod."""
    if pod.disruption is not None:
        return f"pod {pod.name} was disrupted: {pod.disruption}"
    if pod.deletion_deadline is not None:
        return f"pod {pod.name} (rank {pod.rank}) was deleted"
    return None


def _infrastructure(pod: Pod, message: str) -> Evidence:
    last = said(pod)
    return Evidence(
        rank=pod.rank,
        failure_class=FailureClass.INFRASTRUCTURE,
        message=message.strip(),
        node=pod.node,
        at=pod.termination.finished_at if pod.termination else None,
        checkpoint_step=last.checkpoint_step if last else None,
        resumed_step=last.resumed_step if last else None,
    )


def _out_of_memory(pod: Pod) -> Evidence:
    assert pod.termination is not None
    return Evidence(
        rank=pod.rank,
        failure_class=FailureClass.OUT_OF_MEMORY,
        message=f"rank {pod.rank} used more memory than its limit and was killed",
        hint="raise spec.resources.memory, or lower training.microBatchSize or training.sequenceLength",
        node=pod.node,
        exit_code=pod.termination.exit_code,
        at=pod.termination.finished_at,
    )


def _from_launcher(pod: Pod, message: TerminationMessage) -> Evidence:
    assert pod.termination is not None
    interrupted = message.outcome is Outcome.INTERRUPTED
    fenced = message.outcome is Outcome.FENCED
    fallback = FailureClass.INFRASTRUCTURE if interrupted or fenced else FailureClass.UNKNOWN
    return Evidence(
        rank=pod.rank,
        failure_class=message.failure_class or fallback,
        message=message.message or f"rank {pod.rank} ended: {message.outcome.value}",
        cascade=message.cascade or fenced,
        hint=message.hint,
        node=pod.node,
        exit_code=message.exit_code if message.exit_code is not None else pod.termination.exit_code,
        log_tail=message.log_tail,
        at=pod.termination.finished_at,
        checkpoint_step=message.checkpoint_step,
        resumed_step=message.resumed_step,
    )


def _from_exit_code(pod: Pod) -> Evidence:
    assert pod.termination is not None
    code = pod.termination.exit_code
    how = f"was killed by signal {code - 128}" if code > 128 else f"exited with code {code}"
    return Evidence(
        rank=pod.rank,
        failure_class=FailureClass.UNKNOWN,
        message=f"rank {pod.rank} {how} without a word ({pod.termination.reason})",
        node=pod.node,
        exit_code=code,
        log_tail=pod.termination.message[-2048:] or None,
        at=pod.termination.finished_at,
    )
