"""What one pod says about how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from llmtrain_api import FailureClass, Outcome, SetupStage, TerminationMessage, WaitsIn
from llmtrain_api.failures import ENDED, PODS, KnownFailure, first, of_exit
from llmtrain_api.messages import read_termination_message

from ..types import Pod, PodPhase
from .secrets import masked

MAX_EXIT_CODE = 2**31 - 1
LIMITS = frozenset({FailureClass.DEADLINE_EXCEEDED, FailureClass.BUDGET_EXCEEDED})
"""Ends of a job that has used up what it may use."""
MEMORY_HINTS = {
    None: "raise spec.resources.memory, or lower training.microBatchSize or training.sequenceLength",
    SetupStage.INSPECT: "raise spec.prepare.resources.memory",
    SetupStage.PREPARE: "raise spec.prepare.resources.memory",
}
"""What helps a pod that ran out of memory, by what it does; None = a rank."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why one rank is not coming back.

    Attributes:
        cascade: only the echo of another rank's end.
        reason: name of a known failure.
        waits_in: the collective operation that the rank was held up in.
        at: when it ended, if anybody knows.
    """

    rank: int
    failure_class: FailureClass
    message: str
    cascade: bool = False
    waits_in: WaitsIn | None = None
    reason: str | None = None
    hint: str | None = None
    node: str | None = None
    exit_code: int | None = None
    log_tail: str | None = None
    at: datetime | None = None
    checkpoint_step: int | None = None
    checkpoints: tuple[int, ...] = ()
    resumed_step: int | None = None


def termination_message(pod: Pod) -> TerminationMessage | None:
    """What the launcher wrote when it ended; None when it could not write anything."""
    if pod.termination is None:
        return None
    return read_termination_message(pod.termination.message)


PARTS = {SetupStage.INSPECT: "the inspection of the model", SetupStage.PREPARE: "data preparation"}


def part_of(pod: Pod) -> str:
    """What the pod is to its job, in words."""
    return f"rank {pod.rank}" if pod.stage is None else PARTS[pod.stage]


def of_missing(rank: int, name: str, part: str | None = None) -> Evidence:
    """A pod that existed and is gone from the API.

    Args:
        rank: its rank.
        name: its name.
        part: what it was to its job; None = that rank.
    """
    return Evidence(
        rank=rank,
        failure_class=FailureClass.INFRASTRUCTURE,
        message=f"pod {name} ({part or f'rank {rank}'}) was deleted, or lost with its node",
    )


def of_success(pod: Pod) -> tuple[Evidence, ...]:
    """The steps that a rank which has ended well tells of."""
    message = termination_message(pod)
    if message is None:
        return ()
    return (
        Evidence(
            rank=pod.rank,
            failure_class=FailureClass.UNKNOWN,
            message="",
            checkpoint_step=message.checkpoint_step,
            checkpoints=tuple(message.checkpoints or ()),
            resumed_step=message.resumed_step,
        ),
    )


def of_silent_node(pod: Pod) -> Evidence:
    """A pod on a node that the control plane has not heard of for a while."""
    node = f"node {pod.node}" if pod.node else "its node"
    return _infrastructure(pod, f"{node} stopped answering, and pod {pod.name} ({part_of(pod)}) with it")


def of_pending(pod: Pod) -> Evidence:
    """A rank that never ran, while its peers waited for it."""
    reason, message = pod.hold or ("Pending", "it is not known why")
    return _infrastructure(pod, f"rank {pod.rank} never ran: pod {pod.name}: {reason}: {message}")


def of_pod(pod: Pod) -> Evidence | None:
    """Why this pod failed; None while there is nothing wrong with it.

    Read in this order: disruption and deletion, out of memory, the launcher's message, the exit code.
    """
    if pod.deletion_deadline is None and pod.phase is not PodPhase.FAILED:
        return None
    if pod.node_silent and not pod.terminal:
        return of_silent_node(pod)
    outside = _from_outside(pod)
    if outside is not None:
        return _infrastructure(pod, outside, first(ENDED, outside))
    if pod.termination is None:
        return _never_started(pod)
    if pod.termination.reason == "OOMKilled":
        return _out_of_memory(pod)
    message = termination_message(pod)
    return _from_launcher(pod, message) if message else _from_exit_code(pod)


def _from_outside(pod: Pod) -> str | None:
    """What somebody else did to the pod."""
    where = f" on node {pod.node}" if pod.node else ""
    if pod.disruption is not None:
        return f"pod {pod.name}{where} was disrupted: {pod.disruption}"
    if pod.deletion_deadline is not None:
        return f"pod {pod.name} ({part_of(pod)}){where} was deleted"
    return None


def _never_started(pod: Pod) -> Evidence:
    """A pod that failed although none of its containers ran: its node refused it, or ended it early."""
    text = f"{pod.reason or 'no reason given'} {pod.message}"
    return _infrastructure(pod, f"pod {pod.name} failed: {text}", first(PODS, text))


def _infrastructure(pod: Pod, message: str, known: KnownFailure | None = None) -> Evidence:
    last = termination_message(pod)
    return Evidence(
        rank=pod.rank,
        failure_class=(known and known.failure_class) or FailureClass.INFRASTRUCTURE,
        message=message.strip(),
        reason=known.name if known else None,
        hint=known.hint if known else None,
        node=pod.node,
        at=pod.termination.finished_at if pod.termination else None,
        checkpoint_step=last.checkpoint_step if last else None,
        checkpoints=tuple(last.checkpoints or ()) if last else (),
        resumed_step=last.resumed_step if last else None,
    )


def _out_of_memory(pod: Pod) -> Evidence:
    assert pod.termination is not None
    return Evidence(
        rank=pod.rank,
        failure_class=FailureClass.OUT_OF_MEMORY,
        message=f"{part_of(pod)} used more memory than its limit and was killed",
        reason="HostOutOfMemory",
        hint=MEMORY_HINTS[pod.stage],
        node=pod.node,
        exit_code=_exit_code(pod.termination.exit_code),
        at=pod.termination.finished_at,
    )


def _from_launcher(pod: Pod, message: TerminationMessage) -> Evidence:
    assert pod.termination is not None
    interrupted = message.outcome is Outcome.INTERRUPTED
    fenced = message.outcome is Outcome.FENCED
    fallback = FailureClass.INFRASTRUCTURE if interrupted or fenced else FailureClass.UNKNOWN
    failure_class = message.failure_class or fallback
    if failure_class in LIMITS:
        # only the operator says that of a job: a rank that did would start again at nobody's cost
        failure_class = FailureClass.UNKNOWN
    # an output that another job took over is first-hand: no newer attempt of this job can get it back
    final = failure_class is FailureClass.CONFIG_ERROR
    code = message.exit_code if message.exit_code is not None else pod.termination.exit_code
    return Evidence(
        rank=pod.rank,
        failure_class=failure_class,
        message=masked(message.message) or f"{part_of(pod)} ended: {message.outcome.value}",
        cascade=message.cascade or (fenced and not final),
        waits_in=message.waits_in,
        reason=message.reason,
        hint=message.hint,
        node=pod.node,
        exit_code=_exit_code(code),
        log_tail=masked(message.log_tail) if message.log_tail else None,
        at=pod.termination.finished_at,
        checkpoint_step=message.checkpoint_step,
        checkpoints=tuple(message.checkpoints or ()),
        resumed_step=message.resumed_step,
    )


def _from_exit_code(pod: Pod) -> Evidence:
    assert pod.termination is not None
    code = pod.termination.exit_code
    how = f"was killed by signal {code - 128}" if 128 < code < 256 else f"exited with code {code}"
    known = first(PODS, f"{pod.termination.reason}: {pod.termination.message}") or of_exit(code)
    return Evidence(
        rank=pod.rank,
        failure_class=(known and known.failure_class) or FailureClass.UNKNOWN,
        message=f"{part_of(pod)} {how} without a message ({pod.termination.reason})",
        reason=known.name if known else None,
        hint=known.hint if known else None,
        node=pod.node,
        exit_code=_exit_code(code),
        log_tail=masked(pod.termination.message)[-2048:] or None,
        at=pod.termination.finished_at,
    )


def _exit_code(value: int) -> int | None:
    return value if abs(value) <= MAX_EXIT_CODE else None
