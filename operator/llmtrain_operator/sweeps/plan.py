"""What a sweep has come to, and which jobs are made now: a function of values.

Its trials follow from its spec, its jobs have names that follow from its trials, and results are on record:
so an operator that dies between any two writes goes on with nothing done twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from llmtrain_api import Condition, changed
from llmtrain_api.names import API_VERSION, KIND, LABEL_SWEEP, SWEEP_KIND
from llmtrain_api.schema.status.sweep import BestTrial, SweepPhase, SweepStatus, TrialRecord
from llmtrain_api.schema.sweep import SweepSpec
from llmtrain_api.sweeps import (
    InvalidSweep,
    Trial,
    digest_of,
    job_name,
    job_of,
    metric_of,
    minimizes,
    read_sweep,
    rounds_of,
    trials_of,
)

from ..types import Manifest
from . import adapters

WAITING, MAKING = "Waiting", "Making"
"""Phases of a trial that has no job yet: nothing was asked for, or its job was."""
FINAL = ("Succeeded", "Failed")
CHANGED = (
    "spec has changed since the first trial; put it back as it was, or delete the sweep and apply it again "
    "(what its jobs have made stays)"
)


@dataclass(frozen=True, slots=True)
class SeenTrial:
    """A job of a trial's name.

    Attributes:
        ours: whether the sweep controls it.
        phase: of the job; empty before the first.
        results: its ``status.results``.
        message: why it has failed, or is not accepted.
        model: its ``status.resolved.model``.
    """

    ours: bool
    phase: str = ""
    results: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeenSweep:
    """A sweep as it is known.

    Attributes:
        spec: as it stands in the object.
        jobs: of its trials, by name.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: object
    status: SweepStatus
    jobs: Mapping[str, SeenTrial]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The status, which is written first, and the jobs that are made after it."""

    status: SweepStatus
    jobs: tuple[Manifest, ...] = ()


def plan(sweep: SeenSweep, now: datetime) -> SweepPlan:
    """What to do now."""
    status = sweep.status
    if is_over(sweep.spec, sweep.generation, status):
        return SweepPlan(status)
    status = changed(status, observed_generation=sweep.generation)
    try:
        spec = read_sweep(sweep.name, sweep.spec, strict=False)
    except InvalidSweep as invalid:
        return SweepPlan(_refused(status, "Invalid", "; ".join(invalid.mistakes), now))
    # adapters may be added at the end: what is on record follows from those of then
    if status.digest is not None and status.digest != digest_of(spec, len(status.trials)):
        return SweepPlan(_refused(status, "SpecChanged", adapters.CHANGED if spec.adapters else CHANGED, now))
    status = _with_accepted(status, "True", "Accepted", "the trials will be run", now)
    return _Round(sweep, spec, changed(status, digest=digest_of(spec))).plan()


def is_over(spec: object, generation: int, status: SweepStatus) -> bool:
    """Whether nothing is left to do: there may be more adapters than a sweep that has ended knows.

    Args:
        spec: as it stands in the object.
        generation: of it.
        status: on record.
    """
    if status.phase is None or not status.phase.final:
        return False
    has_adapters = isinstance(spec, dict) and bool(spec.get("adapters"))
    return not has_adapters or status.observed_generation == generation


class _Round:
    """One look at a sweep that can be run."""

    def __init__(self, sweep: SeenSweep, spec: SweepSpec, status: SweepStatus) -> None:
        self.sweep, self.spec, self.status = sweep, spec, status
        self.trials = trials_of(spec)
        self.known = {record.job: record for record in status.trials}
        self.sign = 1.0 if minimizes(spec) else -1.0
        self.base = status.base

    def plan(self) -> SweepPlan:
        """Round by round, as far as they are known."""
        records: list[TrialRecord] = []
        members, last = self.trials, len(rounds_of(self.spec)) - 1
        for turn, (count, _) in enumerate(rounds_of(self.spec)):
            if turn:
                members = self._best_of(records[-len(members) :])[:count]
            here = [self._record(trial, turn) for trial in members]
            records += here
            if not all(record.phase in FINAL for record in here):
                return self._going_on(records, here)
            if not self._best_of(here):
                return SweepPlan(self._over(records, here, turn, last))
        return SweepPlan(self._over(records, here, last, last))

    def _record(self, trial: Trial, turn: int) -> TrialRecord:
        """What is known of a trial: its end as it was put on record, else its job as it is now."""
        name = job_name(self.sweep.name, self.spec, trial.number, turn)
        known = self.known.get(name) or TrialRecord(
            job=name, number=trial.number, round=turn, values=trial.texts(), phase=WAITING
        )
        job = self.sweep.jobs.get(name)
        if known.phase in FINAL or (job is None and known.phase == WAITING):
            return known
        if job is None:
            # asked for and not heard of yet, or deleted before its end: it is asked for again
            return changed(known, phase=MAKING, value=None, message=None)
        if not job.ours:
            text = f"a job {name} is there that is not of this sweep; delete it, and the trial begins"
            return changed(known, phase=WAITING, message=text)
        phase = job.phase or MAKING
        longest = adapters.MAX_MESSAGE if self.spec.adapters else 4096
        value, message = None, job.message[:longest] or None
        if phase == "Succeeded":
            value = metric_of(dict(job.results), self.spec.objective.metric)
            message = None if value is not None else f"its results have no {self.spec.objective.metric}"
        record = changed(known, phase=phase, value=value, message=message)
        return self._exported(record, job) if self.spec.adapters and phase == "Succeeded" else record

    def _exported(self, record: TrialRecord, job: SeenTrial) -> TrialRecord:
        """The record of an adapter that is trained; the first of all decides what the base is."""
        own = adapters.base_of(self.spec, job.model)
        self.base = self.base or own
        return adapters.exported(self.spec, record, job.results, own, self.base)

    def _best_of(self, records: list[TrialRecord]) -> list[Trial]:
        """Trials of these that have a value, the best first; of equal ones that of the lower number."""
        valued = [record for record in records if record.value is not None]
        ordered = sorted(valued, key=lambda r: (self.sign * (r.value or 0.0), r.number))
        return [self.trials[record.number] for record in ordered]

    def _going_on(self, records: list[TrialRecord], here: list[TrialRecord]) -> SweepPlan:
        """More jobs, as many as may run at the same time."""
        running = [r for r in here if r.phase not in (*FINAL, WAITING)]
        room = 0 if self.spec.suspend else self.spec.parallel - len(running)
        free = [r for r in here if r.phase == WAITING and r.message is None]
        begun = {record.job for record in free[: max(room, 0)]}
        records = [changed(r, phase=MAKING) if r.job in begun else r for r in records]
        # a job that was asked for and is not there may never have been made: it is asked for again
        making = [r for r in records if r.phase == MAKING and r.job not in self.sweep.jobs]
        phase = SweepPhase.SUSPENDED if self.spec.suspend and not running else SweepPhase.RUNNING
        blocked = next((r.message for r in here if r.phase == WAITING and r.message), None)
        status = changed(self._told(records), phase=phase, message=blocked)
        return SweepPlan(status, tuple(self._job(record) for record in making))

    def _over(self, records: list[TrialRecord], here: list[TrialRecord], turn: int, last: int) -> SweepStatus:
        status = self._told(records)
        if self.spec.adapters:
            return adapters.ended(status, records)
        if turn == last and self._best_of(here):
            return changed(status, phase=SweepPhase.SUCCEEDED, message=None)
        why = next((record.message for record in here if record.message), "")
        text = f"no trial has come to a value of {self.spec.objective.metric}"
        text += f"; the first: {why}" if why else ""
        return changed(status, phase=SweepPhase.FAILED, message=text[:4096])

    def _told(self, records: list[TrialRecord]) -> SweepStatus:
        if self.spec.adapters:
            text = adapters.summary(records, FINAL)
            return changed(self.status, trials=records, summary=text, base=self.base)
        total = sum(count for count, _ in rounds_of(self.spec))
        done = sum(record.phase in FINAL for record in records)
        latest = max((r.round for r in records if r.value is not None), default=0)
        best = self._best_of([r for r in records if r.round == latest])
        found = None
        if best:
            [record] = [r for r in records if (r.round, r.number) == (latest, best[0].number)]
            assert record.value is not None
            found = BestTrial(
                job=record.job, values=record.values, value=record.value, value_text=f"{record.value:.4g}"
            )
        return changed(self.status, trials=records, summary=f"{done}/{total}", best=found)

    def _job(self, record: TrialRecord) -> Manifest:
        spec = job_of(self.sweep.name, self.spec, self.trials[record.number], record.round)
        owner = {
            "apiVersion": API_VERSION,
            "kind": SWEEP_KIND,
            "name": self.sweep.name,
            "uid": self.sweep.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {
                "name": record.job,
                "namespace": self.sweep.namespace,
                "labels": {LABEL_SWEEP: self.sweep.name},
                "ownerReferences": [owner],
            },
            "spec": json.loads(json.dumps(spec)),
        }


def _refused(status: SweepStatus, reason: str, text: str, now: datetime) -> SweepStatus:
    status = _with_accepted(status, "False", reason, text[:8192], now)
    phase = status.phase or SweepPhase.PENDING
    return changed(status, phase=phase, message=text[:4096])


def _with_accepted(status: SweepStatus, holds: Any, reason: str, text: str, now: datetime) -> SweepStatus:
    before = next((c for c in status.conditions if c.type == "Accepted"), None)
    since = before.last_transition_time if before is not None and before.status == holds else now
    found = Condition(
        type="Accepted",
        status=holds,
        reason=reason,
        message=text,
        last_transition_time=since,
        observed_generation=status.observed_generation,
    )
    return changed(status, conditions=[found])
