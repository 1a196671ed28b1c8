"""``llmtrain check --lr-range``: a short job of this machine in which the learning rate rises, and its curve.

It lives as any job of `Runner` does, in a folder that is deleted at the end: its own output, its own record.
What it reads are the manifest's model and data, where `llmtrain run` would read them.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from llmtrain_api import Job, JobSpec, Phase
from llmtrain_api.names import EXIT_INTERRUPTED
from llmtrain_api.schema.range_test import FEWEST, RangeReport, RangeTest, report

from .. import logs
from ..kube.api import Object
from .check import NO_TRAINER
from .command import fitted
from .console_text import failed
from .exit_codes import FAILED, MISTAKE
from .kubelet.gpus import gpus
from .manifest_file import Refused, parsed
from .runner import LoopEnded, Runner, RunPlan
from .saved_jobs import JobFolder
from .scale_down import GangOverrides
from .sweep_file import is_sweep
from .table import Table

OUTPUT = "file:///llmtrain-range-test/output"
"""A folder of its own is put in its place."""
NOT_TESTED = ("checkpoint", "evaluation", "notify", "telemetry", "suspend", "limits", "activeDeadlineSeconds")
"""Of the manifest: they say what becomes of a model, of which a test has none."""
ITS_OWN = ("epochs", "schedule", "warmupSteps", "minLearningRate", "decaySteps", "earlyStopping", "onSpike")
"""Fields of ``training`` that the test decides itself."""


@dataclass(frozen=True)
class RangeRequest:
    """What the command line asks for.

    Attributes:
        manifest: YAML of the job.
        runs: where claims lie.
        test: the rates.
        steps: from the lowest to the highest.
    """

    manifest: Path
    runs: Path
    test: RangeTest
    steps: int


class NotMeasured(Exception):
    """There is no curve.

    Attributes:
        exit_code: 1 the job failed, 2 refused, 75 stopped.
        lines: why.
    """

    def __init__(self, exit_code: int, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.exit_code, self.lines = exit_code, lines


def range_test(request: RangeRequest, told: TextIO) -> RangeReport:
    """Run the test; what it has found.

    Args:
        request: what is tested.
        told: where it is shown how far it is.

    Raises:
        NotMeasured: it cannot be run as it is, was stopped, or has failed.
    """
    try:
        document = job_of(request)
    except Refused as refused:
        raise NotMeasured(MISTAKE, *refused.reasons) from None
    with tempfile.TemporaryDirectory(prefix="llmtrain-range-test-") as private:
        folder, output = Path(private), Path(private, "output")
        job = _run(request, document, folder, Table(told, live=told.isatty()))
        _raise_unless_done(job)
        rows = list(_rows(output))
    if not rows:
        raise NotMeasured(FAILED, "the test has left no step")
    rates, losses = [row["learning_rate"] for row in rows], [row.get("loss") for row in rows]
    return report(rates, losses, request.steps)


def job_of(request: RangeRequest) -> Object:
    """The job that is run: the manifest's, for this machine, with the test's own steps and rates.

    Raises:
        Refused: with what is wrong, and what helps.
    """
    if importlib.util.find_spec("llmtrain_trainer") is None:
        raise Refused(NO_TRAINER)
    if request.test.lowest >= request.test.highest:
        rates = f"--lowest {request.test.lowest:g} is not below --highest {request.test.highest:g}"
        raise Refused(f"{rates}; the rate rises from the one to the other")
    if request.steps < FEWEST:
        raise Refused(f"--steps {request.steps}: a curve takes at least {FEWEST} steps")
    if is_sweep(request.manifest):
        raise Refused(
            "--lr-range tests one job, and this is a sweep; put its spec.job into a manifest of its own"
        )
    document, _, spec, _, _ = parsed(request.manifest)
    if why := not_testable(spec):
        raise Refused(why)
    return fitted(_as_test(document, request), spec, len(gpus()), GangOverrides())[0]


def not_testable(spec: JobSpec) -> str | None:
    """Why a job has no learning rate to test, and what helps; None where it has one."""
    if spec.entrypoint is not None:
        return "spec.entrypoint: a program of one's own sets its rate itself; --lr-range is for the trainer"
    if spec.evaluation.only:
        return "spec.evaluation.only: nothing is trained, so there is no learning rate to test; remove it"
    if spec.checkpoint.source is not None:
        return (
            "spec.checkpoint.from: a test begins with step 1; name the other job's export as model.name, "
            "such as pvc://CLAIM/FOLDER/export"
        )
    return None


def _as_test(document: Object, request: RangeRequest) -> Object:
    spec = {name: value for name, value in document["spec"].items() if name not in NOT_TESTED}
    training = {name: value for name, value in spec.get("training", {}).items() if name not in ITS_OWN}
    training |= {"maxSteps": request.steps, "learningRate": request.test.highest}
    # another attempt would begin anew, and mix its steps with those that there are
    recovery = {**spec.get("recovery", {}), "maxRestarts": 0, "maxInfrastructureRestarts": 0}
    spec |= {"training": training, "recovery": recovery, "output": {"uri": OUTPUT}}
    return {**document, "spec": spec}


def _run(request: RangeRequest, document: Object, folder: Path, table: Table) -> Job:
    job_folder = JobFolder(
        folder, document["metadata"].get("namespace", "default"), document["metadata"]["name"]
    )
    job_folder.folder.mkdir(parents=True)
    run_plan = RunPlan(document, False, request.runs, folder / "output", range_test=request.test)
    table.say(
        f"{document['metadata']['name']}: {request.steps} steps, the learning rate rises from "
        f"{request.test.lowest:g} to {request.test.highest:g} until the loss leaps; nothing of it is kept",
        "",
    )
    with job_folder.log.open("a", buffering=1) as log:
        logs.configure(out=log)
        try:
            job = asyncio.run(Runner(run_plan, job_folder, table).run())
        except LoopEnded as error:
            raise NotMeasured(FAILED, str(error), *job_folder.log.read_text().splitlines()[-20:]) from None
    table.end()
    return job


def _raise_unless_done(job: Job) -> None:
    status = job.status
    if status.phase is Phase.SUCCEEDED:
        return
    if status.phase is Phase.FAILED and status.failure is not None:
        raise NotMeasured(FAILED, *failed(status.failure, []))
    if status.refusal is not None:
        raise NotMeasured(MISTAKE, status.refusal.message)
    raise NotMeasured(EXIT_INTERRUPTED, "stopped before its end; nothing of it is kept")


def _rows(output: Path) -> Iterator[dict[str, Any]]:
    """Each step of the only attempt."""
    file = output / "logs" / "attempt-0" / "metrics.jsonl"
    if file.exists():
        for line in file.read_text().splitlines():
            yield json.loads(line)


def tell_why_not(request: RangeRequest, error: NotMeasured) -> None:
    """Say why there is no curve."""
    for line in error.lines:
        print(f"{request.manifest}: {line}", file=sys.stderr)
