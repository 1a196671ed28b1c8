"""``llmtrain why``: one paragraph that says where a job stands and why, the evidence, and what helps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from llmtrain_api import Attempt, Failure, Job, Phase
from llmtrain_api.failures import PROCESSES, KnownFailure, first
from llmtrain_api.names import HELD

from ..values import Event
from .meanings import known_failures
from .words import clock, count, joined, plain, sentence, span, when

TAIL_LINES = 12
WARNINGS = 3
GO_ON_HERE = "type the command again that began it, or `llmtrain resume NAME --runs DIR`"
UNSEEN_SECONDS = 30
"""A job that no operator has noted after that time is watched by none."""


@dataclass(frozen=True)
class Why:
    """The answer.

    Attributes:
        state: in one or two words, for programs: the phase, or ``Refused`` or ``Unseen``.
        reason: one word for programs; empty where nothing is in the way.
        paragraph: what is the matter.
        evidence: what it is concluded from, a line each.
        fix: what to do, a line each.
        log_tail: the end of the log of who failed.
    """

    state: str
    reason: str
    paragraph: str
    evidence: list[str] = field(default_factory=list)
    fix: list[str] = field(default_factory=list)
    log_tail: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, with camelCase names."""
        return {("logTail" if key == "log_tail" else key): value for key, value in asdict(self).items()}


def why(job: Job, events: Sequence[Event], now: datetime) -> Why:
    """Where a job stands and why.

    Args:
        job: the object.
        events: of it and of its pods, oldest first.
        now: the current moment.
    """
    status = job.status
    if status.refusal is not None:
        return _refused(job, status.refusal.reason, status.refusal.message)
    if status.phase is None:
        return _unseen(job, now)
    if status.phase is Phase.FAILED:
        return _failed(job)
    if status.phase is Phase.SUCCEEDED:
        return _succeeded(job)
    if status.phase in (Phase.SUSPENDED, Phase.SUSPENDING):
        return _suspended(job, now)
    if status.phase is Phase.RUNNING:
        return _running(job, now)
    return _waiting(job, events, now)


def _refused(job: Job, reason: str, message: str) -> Why:
    return Why(
        "Refused",
        reason,
        sentence(f"{job.metadata.name} is refused as it is, and nothing was created", plain(message)),
        fix=[
            "correct the field that the message names and apply the manifest again: it then begins by itself"
        ],
    )


def _unseen(job: Job, now: datetime) -> Why:
    began = job.metadata.creation_timestamp
    age = (now - began).total_seconds() if began else 0.0
    if age < UNSEEN_SECONDS:
        return Why(
            "Pending",
            "",
            f"{job.metadata.name} was created {when(began, now)}; the operator has yet to see it.",
        )
    return Why(
        "Unseen",
        "NoOperator",
        f"{job.metadata.name} was created {when(began, now)}, and no operator has taken note of it.",
        fix=[
            "kubectl get pods -A -l app.kubernetes.io/name=llm-training-operator   # does it run?",
            f"does it watch namespace {job.metadata.namespace}? (watchNamespace of the chart)",
        ],
    )


def _failed(job: Job) -> Why:
    status, failure = job.status, job.status.failure
    if failure is None:
        return Why("Failed", "", f"{job.metadata.name} has failed, and its status does not say why.")
    tries = len(status.attempts)
    after = f"after {count(tries, 'attempt')}" if tries else "before its first attempt"
    step = f"at step {status.checkpoint.step} of its newest checkpoint" if status.checkpoint else None
    paragraph = sentence(
        f"{job.metadata.name} has failed {after}{f', {step}' if step else ''}", cause(failure)
    )
    condition = status.condition("Failed")
    evidence = [*_where(failure), *_attempt_lines(status.attempts)]
    if condition is not None and condition.message and condition.message not in failure.message:
        evidence.append(f"{condition.reason}: {plain(condition.message)}")
    return Why(
        "Failed",
        failure.reason or failure.failure_class.value,
        paragraph,
        evidence,
        _fixes(job, failure),
        _tail(failure),
    )


def cause(failure: Failure) -> str:
    """What failed, in one clause: the class in words, and what was said of it."""
    said = plain(failure.message)
    return f"{failure.failure_class.value}: {said}"


def _where(failure: Failure) -> list[str]:
    place = joined(
        (
            None if failure.rank is None else f"rank {failure.rank}",
            f"node {plain(failure.node)}" if failure.node else None,
            f"container {plain(failure.container)}" if failure.container else None,
            None if failure.exit_code is None else f"exit code {failure.exit_code}",
            clock(failure.time) or None,
        )
    )
    known = recognised(failure)
    name = f"known failure {known.name} (llmtrain explain {known.name})" if known else None
    return [text for text in (f"first to fail: {place}" if place else None, name) if text]


def recognised(failure: Failure) -> KnownFailure | None:
    """The known failure that it is: by the name on record, or by what the log says."""
    if failure.reason:
        return known_failures().get(failure.reason)
    return first(PROCESSES, f"{failure.message}\n{failure.log_tail or ''}")


def _fixes(job: Job, failure: Failure) -> list[str]:
    name = job.metadata.name
    known = recognised(failure)
    hints = [failure.hint, known.hint if known and not failure.hint else None]
    fixes = [plain(hint) for hint in hints if hint]
    fixes.append(f"llmtrain logs {name}   # the log of the rank that failed first")
    saved = f"goes on from step {job.status.checkpoint.step}" if job.status.checkpoint else "begins anew"
    fixes.append(f"llmtrain retry {name}   # when the cause is gone: {saved}")
    return fixes


def _tail(failure: Failure) -> list[str]:
    return [plain(line) for line in (failure.log_tail or "").strip().splitlines()[-TAIL_LINES:]]


def _attempt_lines(attempts: Sequence[Attempt]) -> list[str]:
    """How each attempt ended, equal ends in a row told once."""
    lines: list[str] = []
    last: tuple[str, list[int]] | None = None
    for one in attempts:
        text = joined((one.failure_class.value if one.failure_class else None, plain(one.message or "")))
        text = text.replace(", ", ": ", 1) if one.failure_class else text
        if last is not None and text == last[0]:
            last[1].append(one.number)
            lines.pop()
        elif text:
            last = (text, [one.number])
        else:
            continue
        lines.append(f"{_numbers(last[1])} ended: {last[0]}")
    return lines


def _numbers(found: list[int]) -> str:
    return f"attempt {found[0]}" if len(found) == 1 else f"attempts {found[0]} to {found[-1]}"


def _succeeded(job: Job) -> Why:
    results = job.status.results
    facts = [results.work] if results and results.work else []
    if results and results.eval_loss is not None:
        facts.append(f"held-out loss {results.eval_loss:.3f}")
    where = results.export_uri if results else None
    text = sentence(
        f"{job.metadata.name} has succeeded", joined(facts), f"the model lies in {where}" if where else ""
    )
    return Why("Succeeded", "", text)


def _suspended(job: Job, now: datetime) -> Why:
    status, name = job.status, job.metadata.name
    saved = f"step {status.checkpoint.step} is saved" if status.checkpoint else "nothing was saved yet"
    since = status.condition("Suspended")
    if status.phase is Phase.SUSPENDING:
        text = sentence(
            f"{name} is being suspended", "every rank saves a checkpoint before its node is given back"
        )
        return Why("Suspending", "Suspended", text, [saved])
    if status.waiting is not None and status.waiting.reason == "NotRunning":
        return Why(
            "Suspended",
            "NotRunning",
            sentence(f"{name} stands still", status.waiting.message),
            fix=[GO_ON_HERE],
        )
    how_long = f" for {span((now - since.last_transition_time).total_seconds())}" if since else ""
    text = sentence(f"{name} stands still{how_long}, because spec.suspend is true", saved)
    return Why("Suspended", "Suspended", text, fix=[f"llmtrain resume {name}"])


def _running(job: Job, now: datetime) -> Why:
    status, name = job.status, job.metadata.name
    progress = status.progress
    lost = status.condition("ReportingLost")
    how_far = ""
    if progress is not None and progress.step is not None:
        told = f"reported {when(progress.updated_at, now)}"
        how_far = f"step {progress.step} of {progress.total_steps or '?'}, {told}"
    ends = f"it is expected to end {when(progress.eta, now)}" if progress and progress.eta else ""
    restarts = status.restarts.total if status.restarts else 0
    evidence = _attempt_lines([one for one in status.attempts if one.ended_at])
    if lost is not None and lost.status == "True":
        text = sentence(
            f"{name} runs, but has not reported since {clock(lost.last_transition_time)}", plain(lost.message)
        )
        return Why(
            "Running", lost.reason, text, evidence, [f"llmtrain logs {name} -f   # what do its ranks do?"]
        )
    if status.waiting is not None and status.waiting.reason == HELD:
        fixes = [f"llmtrain debug {name}", f"llmtrain debug {name} --release   # ends the attempt now"]
        text = sentence(f"ranks of {name} have failed", plain(status.waiting.message))
        return Why("Running", HELD, text, evidence, fixes)
    again = f"its gang was started again {count(restarts, 'time')}" if restarts else ""
    smaller = plain(status.workers.message) if status.workers and status.workers.message else ""
    return Why("Running", "", sentence(f"{name} runs", how_far, ends, again, smaller), evidence)


STAGES: dict[Phase, str] = {
    Phase.PENDING: "is not looked at yet",
    Phase.QUEUED: "waits in the queue for room",
    Phase.INSPECTING: "has its model looked at by one pod, before the gang is created",
    Phase.PREPARING: "has its data prepared by one pod, before the gang is created",
    Phase.STARTING: "starts: its pods exist, and not all of them run yet",
    Phase.RESTARTING: "starts again from its newest checkpoint",
}


def _waiting(job: Job, events: Sequence[Event], now: datetime) -> Why:
    status, name = job.status, job.metadata.name
    assert status.phase is not None
    waiting, failure = status.waiting, status.failure
    parts = [f"{name} {STAGES.get(status.phase, status.phase.value)}"]
    if waiting is not None:
        parts.append(plain(waiting.message))
    if status.phase is Phase.RESTARTING and failure is not None:
        parts.append(f"the attempt before failed: {cause(failure)}")
    evidence = list(_queue_lines(job, now)) + _attempt_lines([one for one in status.attempts if one.ended_at])
    warnings = [event for event in events if event.kind == "Warning"][-WARNINGS:]
    evidence += [_event_line(event, now) for event in warnings]
    reason = waiting.reason if waiting else (failure.reason or "") if failure else ""
    fixes = [plain(failure.hint)] if failure and failure.hint and status.phase is Phase.RESTARTING else []
    fixes += _waiting_fixes(job, reason)
    return Why(status.phase.value, reason, sentence(*parts), evidence, fixes)


def _queue_lines(job: Job, now: datetime) -> Iterator[str]:
    waiting = job.status.waiting
    if waiting is None:
        return
    if waiting.since is not None:
        how_long = span((now - waiting.since).total_seconds())
        yield f"it waits for this since {clock(waiting.since)} ({how_long})"
    if waiting.position is not None:
        first_in_line = " (the next)" if waiting.position == 1 else ""
        yield f"place {waiting.position} in the queue{first_in_line}"
    if waiting.estimated_start is not None:
        moment = waiting.estimated_start
        yield f"room for it is expected {when(moment, now)} ({clock(moment)})"
    elif job.status.phase is Phase.QUEUED:
        yield "when there will be room cannot be told: the ends that running jobs expect do not suffice"


def _waiting_fixes(job: Job, reason: str) -> list[str]:
    name = job.metadata.name
    fixes: list[str] = []
    if job.status.phase is Phase.QUEUED:
        fixes.append("llmtrain ls -A -o wide   # who has the nodes, and who is before it")
        fixes.append("fewer nodes or GPUs, or a higher priorityClassName, lets it start sooner")
    if job.status.phase in (Phase.STARTING, Phase.RESTARTING, Phase.INSPECTING, Phase.PREPARING) and reason:
        fixes.append(f"llmtrain explain {reason}")
    if job.status.phase in (Phase.INSPECTING, Phase.PREPARING):
        fixes.append(f"llmtrain logs {name} -f   # what that pod does")
    return fixes


def _event_line(event: Event, now: datetime) -> str:
    about = f"{event.about}: " if event.about else ""
    often = f", {count(event.count, 'time')}" if event.count > 1 else ""
    return f"{event.reason}: {about}{plain(event.message)} ({when(event.time, now)}{often})"


EVIDENCE, LOG_TAIL, FIX = TITLES = ("Evidence", "End of its log", "What to do")


def lines(found: Why) -> list[str]:
    """The answer as text."""
    told = [found.paragraph]
    told += ["", EVIDENCE, *(f"  {line}" for line in found.evidence)] if found.evidence else []
    told += ["", LOG_TAIL, *(f"  {line}" for line in found.log_tail)] if found.log_tail else []
    told += ["", FIX, *(f"  {line}" for line in found.fix)] if found.fix else []
    return told
