"""What the page is told of jobs, as JSON: functions of the object, its events and the moment. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from llmtrain_api import Attempt, Job, Phase
from llmtrain_api.names import LABEL_SWEEP
from llmtrain_operator.local import manifest_yaml

from ..render import compare
from ..render.show import show
from ..render.why import why
from ..render.words import plain
from ..values import Event

EVENTS = 200
Row = dict[str, Any]
REFUSED = "Refused"


def row_of(job: Job) -> Row:
    """One job in the list, small enough to be sent at each change."""
    meta, status, spec = job.metadata, job.status, job.spec
    progress, waiting, failure = status.progress, status.waiting, status.failure
    return {
        "namespace": meta.namespace,
        "name": meta.name,
        "uid": meta.uid,
        "created": _time(meta.creation_timestamp),
        "phase": REFUSED if status.refusal is not None else _phase(status.phase),
        "over": status.refusal is None and status.phase is not None and status.phase.final,
        "sweep": plain(meta.labels.get(LABEL_SWEEP, "")),
        "model": plain(spec.get("model", {}).get("name", "")),
        "nodes": spec.get("nodes", 1),
        "gpus": (spec.get("gpusPerNode") or 0) * spec.get("nodes", 1),
        "pods": status.workers.summary if status.workers else "",
        "attempt": status.attempt,
        "restarts": status.restarts.total if status.restarts else 0,
        "step": progress.step if progress else None,
        "totalSteps": progress.total_steps if progress else None,
        "percent": progress.percent if progress else None,
        "loss": progress.loss if progress else None,
        "evalLoss": progress.eval_loss if progress else None,
        "tokensPerSecond": progress.tokens_per_second if progress else None,
        "mfu": progress.mfu if progress else None,
        "eta": _time(progress.eta) if progress else None,
        "updated": _time(progress.updated_at) if progress else None,
        "waiting": None
        if waiting is None
        else {
            "reason": plain(waiting.reason),
            "message": plain(waiting.message),
            "position": waiting.position,
            "start": _time(waiting.estimated_start),
            "since": _time(waiting.since),
        },
        "failure": None
        if failure is None
        else {"class": failure.failure_class.value, "message": plain(failure.message)},
    }


def page_of(job: Job, events: Sequence[Event], now: datetime) -> Row:
    """All that the page of one job shows, but for its curve and its logs.

    Args:
        job: the object.
        events: of it and of its pods, oldest first.
        now: the current moment.
    """
    results = job.status.results
    return {
        "row": row_of(job),
        "why": why(job, events, now).to_json(),
        "facts": [
            {"title": title or "Now", "rows": [[name, text] for name, text in rows]}
            for title, rows in show(job, (), now)
        ],
        "layout": job.status.to_json().get("resolved", {}).get("parallelism"),
        "attempts": [_attempt(one) for one in job.status.attempts],
        "events": [_event(event) for event in events[-EVENTS:]],
        "checkpoints": [list(row) for row in compare.checkpoint_rows(job)],
        "data": None if results is None or results.data is None else results.data.to_json(),
        "answers": None if results is None or results.answers is None else results.answers.to_json(),
        "scores": None if results is None or results.scores is None else results.scores.to_json(),
        "sample": None if results is None or results.sample is None else results.sample,
        "ranks": job.spec.get("nodes", 1),
        "spec": manifest_yaml.dump_all([job.spec]),
        "actions": actions_of(job),
    }


def actions_of(job: Job) -> list[str]:
    """What may be asked for in its phase, whoever may ask."""
    status, suspended = job.status, bool(job.spec.get("suspend"))
    if status.refusal is not None:
        return ["delete"]
    if status.phase is not None and status.phase.final:
        return ["retry", "delete"]
    still = suspended or status.phase in (Phase.SUSPENDED, Phase.SUSPENDING)
    return ["resume" if still else "suspend", "delete"]


def compared(a: Job, b: Job) -> Row:
    """Where two jobs differ, by part."""
    found = compare.differences(a, b)
    return {
        "rows": [row_of(a), row_of(b)],
        "parts": [{"title": title, "rows": [list(row) for row in rows]} for title, rows in found.items()],
    }


def _attempt(one: Attempt) -> Row:
    ended = one.failure_class.value if one.failure_class else one.reason.value if one.reason else ""
    return {
        "number": one.number,
        "started": _time(one.started_at),
        "ended": _time(one.ended_at),
        "seconds": one.running_seconds,
        "from": one.resumed_step or 0,
        "gained": one.steps_gained,
        "lost": one.steps_lost,
        "failed": one.failure_class is not None,
        "end": ended or ("ended" if one.ended_at else "under way"),
        "node": plain(one.node or ""),
        "message": plain(one.message or ""),
    }


def _event(event: Event) -> Row:
    return {
        "time": _time(event.time),
        "warning": event.kind == "Warning",
        "reason": plain(event.reason),
        "message": plain(event.message),
        "about": plain(event.about),
        "count": event.count,
    }


def _phase(phase: Phase | None) -> str:
    return phase.value if phase else Phase.PENDING.value


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
