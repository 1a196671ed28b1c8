"""``llmtrain run`` of an LLMTrainingSweep: the same trials and the same winner, one job after the other.

What is known of a sweep is what is saved of its jobs: the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.table import Table

from llmtrain_api.names import API_VERSION, KIND, LABEL_SWEEP
from llmtrain_api.schema.status.sweep import SweepPhase, SweepStatus
from llmtrain_api.sweeps import InvalidSweep, Sweep, job_name, parse_sweep, rounds_of, trials_of

from ..kube.api import Object
from ..sweeps.objects import trial_of
from ..sweeps.plan import SeenSweep, SeenTrial, plan
from ..types import Manifest
from .command import Request
from .command import run as run_job
from .exit_codes import DONE, FAILED, MISTAKE
from .saved_jobs import FOLDER, JobFolder
from .saved_sweeps import save_sweep
from .sweep_file import sweep_document

UID = "local"
RunJob = Callable[[Request, TextIO], int]


def job_manifest(name: str, namespace: str, spec: Object, sweep: str) -> Object:
    """The manifest of a job, to be read as a person's."""
    meta = {"name": name, "namespace": namespace, "labels": {LABEL_SWEEP: sweep}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec}


def run_sweep(request: Request, out: TextIO, run: RunJob = run_job) -> int:
    """Run each trial; the exit code: 0 there is a winner, 1 there is none, 2 refused, 75 stopped."""
    try:
        document = sweep_document(request.manifest)
        sweep = parse_sweep(document)
    except InvalidSweep as invalid:
        for mistake in invalid.mistakes:
            print(f"{request.manifest}: {mistake}", file=sys.stderr)
        return MISTAKE
    if request.output is not None:
        text = "--output: each trial of a sweep has a folder of its own in output.uri; leave it out"
        print(f"{request.manifest}: {text}", file=sys.stderr)
        return MISTAKE
    return _Run(request, sweep, document["spec"], out, run).to_the_end()


class _Run:
    """One run of a sweep."""

    def __init__(self, request: Request, sweep: Sweep, spec: Object, out: TextIO, run: RunJob) -> None:
        self.request, self.sweep, self.out, self.run = request, sweep, out, run
        self.spec = {**spec, "parallel": 1, "suspend": False}
        self.begun: set[str] = set()

    def to_the_end(self) -> int:
        """Job after job, as the plan says."""
        status = SweepStatus()
        while True:
            decided = plan(self._seen(status), datetime.now(UTC))
            status = decided.status
            save_sweep(self.request.runs, self.sweep.namespace, self.sweep.name, self.spec, status)
            if status.phase is not None and status.phase.final:
                return self._tell(status)
            # one at a time, and the one before is over
            [job] = decided.jobs
            code = self._run(job, status)
            if code not in (DONE, FAILED):
                return code

    def _run(self, job: Manifest, status: SweepStatus) -> int:
        name = job["metadata"]["name"]
        [record] = [trial for trial in status.trials if trial.job == name]
        values = ", ".join(f"{field} = {value}" for field, value in record.values.items())
        print(f"\ntrial {record.number} ({status.summary} over): {values}", file=self.out, flush=True)
        path = self.request.runs / FOLDER / f"{name}.manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest = job_manifest(name, self.sweep.namespace, job["spec"], self.sweep.name)
        path.write_text(json.dumps(manifest, indent=1))
        new = self.request.new and name not in self.begun
        self.begun.add(name)
        return self.run(replace(self.request, manifest=path, new=new), self.out)

    def _seen(self, status: SweepStatus) -> SeenSweep:
        spec = self.sweep.spec
        turns, trials = range(len(rounds_of(spec))), trials_of(spec)
        names = [job_name(self.sweep.name, spec, trial.number, turn) for turn in turns for trial in trials]
        found = {name: trial for name in names if (trial := self._saved(name)) is not None}
        return SeenSweep(self.sweep.namespace, self.sweep.name, UID, 1, self.spec, status, found)

    def _saved(self, name: str) -> SeenTrial | None:
        """What was saved of a trial that is over; one that was stopped is run again, and goes on."""
        if self.request.new and name not in self.begun:
            return None
        saved = JobFolder(self.request.runs, self.sweep.namespace, name).load()
        if saved is None or saved.job.status.phase is None or not saved.job.status.phase.final:
            return None
        owner = {"uid": UID, "controller": True}
        meta = {**saved.raw["metadata"], "ownerReferences": [owner]}
        return trial_of({**saved.raw, "metadata": meta}, UID)

    def _tell(self, status: SweepStatus) -> int:
        """The table of trials, and the winner."""
        metric = self.sweep.spec.objective.metric
        table = Table("trial", *(p.field for p in self.sweep.spec.parameters), "phase", metric)
        for record in status.trials:
            shown = "" if record.value is None else f"{record.value:.6g}"
            table.add_row(record.job, *record.values.values(), record.phase, shown)
        print(file=self.out)
        Console(file=self.out).print(table)
        if status.phase is SweepPhase.SUCCEEDED and status.best is not None:
            print(f"best: {status.best.job}, {metric} {status.best.value:.6g}", file=self.out)
            return DONE
        print(status.message, file=sys.stderr)
        return FAILED
