"""``llmtrain run`` of an LLMTrainingSweep: the same trials and the same winner, or the same adapters, one job
after the other.

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

from llmtrain_api import Phase
from llmtrain_api.names import API_VERSION, KIND, LABEL_SWEEP
from llmtrain_api.schema.status.sweep import SweepPhase, SweepStatus
from llmtrain_api.sweeps import InvalidSweep, Sweep, job_name, job_of, parse_sweep, rounds_of, trials_of

from ..kube.api import Object
from ..sweeps.objects import trial_of
from ..sweeps.plan import SeenSweep, SeenTrial, plan
from ..types import Manifest
from . import adapters
from .command import Request
from .command import run as run_job
from .exit_codes import DONE, FAILED, MISTAKE
from .saved_jobs import FOLDER, Busy, JobFolder
from .saved_sweeps import save_sweep
from .sweep_file import sweep_document

UID = "local"
RunJob = Callable[[Request, TextIO], int]


def job_manifest(name: str, namespace: str, spec: Object, sweep: str) -> Object:
    """The manifest of a job, to be read as a person's."""
    meta = {"name": name, "namespace": namespace, "labels": {LABEL_SWEEP: sweep}}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": spec}


def run_sweep(request: Request, out: TextIO, run: RunJob = run_job) -> int:
    """Run each trial; the exit code: 0 there is a winner, or each adapter is trained, 1 there is none, or one
    is not, 2 refused, 75 stopped."""
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
    try:
        # no job's name has a tilde
        with JobFolder(request.runs, sweep.namespace, f"sweep~{sweep.name}").locked():
            return _Run(request, sweep, document["spec"], out, run).to_the_end()
    except Busy as busy:
        print(f"{request.manifest}: another process runs this sweep (pid {busy})", file=sys.stderr)
        return MISTAKE


class _Run:
    """One run of a sweep."""

    def __init__(self, request: Request, sweep: Sweep, spec: Object, out: TextIO, run: RunJob) -> None:
        self.request, self.sweep, self.out, self.run = request, sweep, out, run
        self.spec = {**spec, "parallel": 1, "suspend": False}
        self.begun: set[str] = set()

    def to_the_end(self) -> int:
        """Job after job, as the plan says."""
        if kept := self._kept():
            print(f"{self.request.manifest}: {kept}", file=sys.stderr)
            return MISTAKE
        status = SweepStatus()
        while True:
            decided = plan(self._seen(status), datetime.now(UTC))
            status = decided.status
            save_sweep(self.request.runs, self.sweep.namespace, self.sweep.name, self.spec, status)
            if self.sweep.spec.adapters:
                adapters.write_router(self.request.runs, self.sweep, status)
            if status.phase is not None and status.phase.final:
                return self._tell(status)
            # one at a time, and the one before is over
            [job] = decided.jobs
            code = self._run(job, status)
            if code not in (DONE, FAILED):
                return code
            name = job["metadata"]["name"]
            if self._saved(name, job["spec"]) is None:
                # it would be run again, for ever
                folder = self.request.runs / FOLDER
                why = f"{name} has run, and no file in {folder} that can be read says how it ended"
                print(f"{why}; see to that folder, and run this command again", file=sys.stderr)
                return FAILED

    def _kept(self) -> str | None:
        """What is wrong where an adapter is trained, and would be trained otherwise now: its output is its
        first job's, and another job of its name would fail there."""
        spec = self.sweep.spec
        for trial in trials_of(spec) if spec.adapters and not self.request.new else ():
            name, planned = (
                job_name(self.sweep.name, spec, trial.number, 0),
                job_of(self.sweep.name, spec, trial, 0),
            )
            saved = JobFolder(self.request.runs, self.sweep.namespace, name).load()
            if saved is None or saved.job.status.phase is not Phase.SUCCEEDED:
                continue
            if planned["output"].get("ifExists") != "new" and not adapters.trained_on_the_same(
                saved.raw["spec"], planned
            ):
                return (
                    f"spec.adapters[{trial.number}]: {trial.adapter} was trained with another dataset or "
                    "training; give it another name, or set job.output.ifExists: new"
                )
        return None

    def _run(self, job: Manifest, status: SweepStatus) -> int:
        name = job["metadata"]["name"]
        [record] = [trial for trial in status.trials if trial.job == name]
        values = ", ".join(f"{field} = {value}" for field, value in record.values.items())
        what = (
            f"adapter {name} ({status.summary} over)"
            if self.sweep.spec.adapters
            else (f"trial {record.number} ({status.summary} over): {values}")
        )
        print(f"\n{what}", file=self.out, flush=True)
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
        jobs = [(trial, turn) for turn in turns for trial in trials]
        names = [job_name(self.sweep.name, spec, trial.number, turn) for trial, turn in jobs]
        planned = (job_of(self.sweep.name, spec, trial, turn) for trial, turn in jobs)
        found = {
            name: seen
            for name, job in zip(names, planned, strict=True)
            if (seen := self._saved(name, job)) is not None
        }
        return SeenSweep(self.sweep.namespace, self.sweep.name, UID, 1, self.spec, status, found)

    def _saved(self, name: str, planned: Object) -> SeenTrial | None:
        """What was saved of a trial that is over; one that was stopped is run again, and goes on. So is, of
        adapters, one that has failed, as its data may be mended, and one whose data are others now."""
        if self.request.new and name not in self.begun:
            return None
        saved = JobFolder(self.request.runs, self.sweep.namespace, name).load()
        if saved is None or saved.job.status.phase is None or not saved.job.status.phase.final:
            return None
        if self.sweep.spec.adapters and name not in self.begun:
            failed = saved.job.status.phase is Phase.FAILED
            if failed or not adapters.trained_on_the_same(saved.raw["spec"], planned):
                return None
        owner = {"uid": UID, "controller": True}
        meta = {**saved.raw["metadata"], "ownerReferences": [owner]}
        return trial_of({**saved.raw, "metadata": meta}, UID)

    def _tell(self, status: SweepStatus) -> int:
        """The table of trials, and the winner."""
        if self.sweep.spec.adapters:
            return self._tell_adapters(status)
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

    def _tell_adapters(self, status: SweepStatus) -> int:
        """The table of adapters, and where the file is by which they are served."""
        print(file=self.out)
        Console(file=self.out).print(adapters.table_of(status))
        if status.base is not None:
            print(f"router file: {adapters.router_file(self.request.runs, self.sweep.spec)}", file=self.out)
        if status.message is None:
            return DONE
        print(status.message, file=sys.stderr)
        return FAILED
