"""What the page is told of a sweep, as JSON: a function of its object and of its jobs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from llmtrain_api import Job, api_json
from llmtrain_api.schema.status.sweep import SweepStatus, TrialRecord
from llmtrain_api.schema.sweep import SweepSpec
from llmtrain_api.sweeps import minimizes

from ..render.words import plain
from ..values import Object
from .views import Row, row_of

MAX_CURVES = 24
"""Trials whose curves are drawn: more lines than that say nothing."""


def sweep_page(found: Object, jobs: Mapping[str, Job]) -> Row:
    """All that the page of a sweep shows, but for its curves.

    Args:
        found: the sweep's object.
        jobs: those of its namespace that bear its name in their label, by name.
    """
    status, spec = _status(found), _spec(found)
    return {
        "namespace": found["metadata"].get("namespace", "default"),
        "name": found["metadata"]["name"],
        "phase": status.phase.value if status.phase else "Pending",
        "summary": status.summary or "",
        "message": plain(status.message or ""),
        "metric": spec.objective.metric if spec else "",
        "minimizes": minimizes(spec) if spec else True,
        "fields": [parameter.field for parameter in spec.parameters] if spec else _fields(status.trials),
        "best": status.best.job if status.best else "",
        "trials": [_trial(record, jobs.get(record.job)) for record in status.trials],
    }


def drawn(page: Row) -> list[str]:
    """The jobs whose curves are drawn: the best, then those that run, then the others, in their order."""
    trials: Sequence[Row] = [trial for trial in page["trials"] if trial["row"] is not None]

    def place(trial: Row) -> tuple[bool, bool]:
        return trial["job"] != page["best"], trial["row"]["over"]

    return [trial["job"] for trial in sorted(trials, key=place)[:MAX_CURVES]]


def _trial(record: TrialRecord, job: Job | None) -> Row:
    row = row_of(job) if job is not None else None
    return {
        "job": record.job,
        "number": record.number,
        "round": record.round,
        "values": {name: plain(value) for name, value in record.values.items()},
        # the job itself knows it first
        "phase": row["phase"] if row is not None else record.phase,
        "value": record.value,
        "message": plain(record.message or ""),
        "row": row,
    }


def _fields(trials: Sequence[TrialRecord]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.values))


def _status(found: Object) -> SweepStatus:
    try:
        return SweepStatus.model_validate(found.get("status") or {})
    except ValidationError:
        return SweepStatus()


def _spec(found: Object) -> SweepSpec | None:
    spec: Any = found.get("spec")
    try:
        return api_json.read(SweepSpec, spec, unknown=True)
    except ValidationError:
        return None
