"""``llmtrain run``: from a manifest to an exit code."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from llmtrain_api import IfExists, InvalidJob, Job, JobSpec, Metadata, Phase, Task, parse_manifest
from llmtrain_api.names import EXIT_INTERRUPTED

from .. import logs
from ..kube.api import Object
from . import console_text
from .check import NO_TRAINER
from .exit_codes import DONE, FAILED, MISTAKE
from .kubelet.gpus import gpus
from .manifest_file import Refused, parsed
from .runner import LoopEnded, Runner, RunPlan
from .saved_jobs import (
    Busy,
    JobFolder,
    SavedJob,
    can_reopen,
    changes,
    output_folder,
    owned,
    rejoined,
    reopened,
)
from .scale_down import GangOverrides, describe_changes, not_told, scaled_down, why_scaled
from .table import Table


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        manifest: YAML of the job.
        runs: where claims and what is saved of jobs lie.
        output: the output's folder, if it shall not be in ``runs``.
        new: forget an earlier run of this name.
        command: what the person typed.
    """

    manifest: Path
    runs: Path
    output: Path | None
    overrides: GangOverrides
    new: bool
    command: str


@dataclass(frozen=True)
class Manifest:
    """A job to run.

    Attributes:
        asked: the spec as it was written.
        document: the manifest as it is run here.
        spec: its spec.
        note: what was done about its runtime; empty = it names none.
    """

    metadata: Metadata
    asked: JobSpec
    document: Object
    spec: JobSpec
    note: str = ""


def run(request: Request, out: TextIO) -> int:
    """Run it; the exit code: 0 succeeded, 1 failed, 2 refused, 75 stopped with a checkpoint."""
    try:
        manifest = read(request)
        job_folder = JobFolder(request.runs, manifest.metadata.namespace, manifest.metadata.name)
        with job_folder.locked():
            return run_alone(request, manifest, job_folder, out)
    except Refused as refused:
        for reason in refused.reasons:
            print(f"{request.manifest}: {reason}", file=sys.stderr)
    except Busy as busy:
        print(f"{request.manifest}: another process runs this job (pid {busy})", file=sys.stderr)
    return MISTAKE


def run_alone(request: Request, manifest: Manifest, job_folder: JobFolder, out: TextIO) -> int:
    """Run it while nobody else can.

    Raises:
        Refused: it cannot be run as it is.
    """
    output = (request.output or output_folder(manifest.spec.output.uri, request.runs)).absolute()
    saved = None if request.new else job_folder.load()
    run_plan = decide(saved, manifest.document, request.runs, output)
    table = Table(out, live=out.isatty())
    if run_plan is None:
        assert saved is not None
        table.say(
            f"{saved.job.metadata.name} is complete already; output.ifExists: new or resume would train again"
        )
        return tell_end(saved.job, job_folder, output, request, None, table)
    table.say(*opening(manifest, run_plan))
    return follow(run_plan, job_folder, table, request)


def read(request: Request) -> Manifest:
    """The manifest, made to fit this machine.

    Raises:
        Refused: with every mistake in it.
    """
    if importlib.util.find_spec("llmtrain_trainer") is None:
        raise Refused(NO_TRAINER)
    document, metadata, asked, note, _ = parsed(request.manifest)
    if asked.output.in_object_store:
        raise Refused(
            f"spec.output.uri: got {asked.output.uri!r}, and here all pods share this machine's folders; "
            "use pvc://CLAIM/FOLDER or file:///FOLDER"
        )
    return Manifest(metadata, asked, *fitted(document, asked, len(gpus()), request.overrides), note)


def fitted(document: Object, asked: JobSpec, have: int, overrides: GangOverrides) -> tuple[Object, JobSpec]:
    """The manifest with a gang that this machine can run, and its spec.

    Raises:
        Refused: such a gang cannot run this job, with the options that ask for another.
    """
    scaled = scaled_down(document, asked, have, overrides)
    try:
        return scaled, parse_manifest(scaled)[1]
    except InvalidJob as invalid:
        raise Refused(*invalid.mistakes, why_scaled(asked, scaled, have)) from None


def decide(saved: SavedJob | None, document: Object, runs: Path, output: Path) -> RunPlan | None:
    """A new job, or the saved one again; None when it is complete and nothing is to be done.

    Raises:
        Refused: it was stopped as another job than this one.
    """
    new = RunPlan(document, False, runs, output)
    if saved is None or saved.output != str(output) or owned(output, saved.job.metadata.uid) is None:
        return new
    different = changes(saved.raw["spec"], document["spec"])
    if saved.job.status.phase is Phase.SUCCEEDED:
        once = parse_manifest(document)[1].output.if_exists is IfExists.FAIL
        return None if once and not different else new
    status = saved.job.status
    step = f"step {status.checkpoint.step}" if status.checkpoint else "the beginning"
    if status.phase is Phase.FAILED and not can_reopen(saved, parse_manifest(document)[1]):
        return new
    if status.phase is Phase.FAILED:
        note = f"tries again from {step}; attempt {status.attempt} was the last that failed"
        return RunPlan(reopened(saved, document["spec"]), True, runs, output, note)
    if different:
        raise Refused(
            f"{saved.job.metadata.name} is under way with another spec: {'; '.join(different)}",
            "put that back to go on, or add --new for a new job (output.ifExists says what of its folder)",
        )
    return RunPlan(
        rejoined(saved.raw, document["spec"]),
        True,
        runs,
        output,
        f"goes on from {step}, where it was stopped",
    )


def opening(manifest: Manifest, run_plan: RunPlan) -> list[str]:
    """The first lines."""
    changed = describe_changes(manifest.asked, manifest.spec)
    lines = [f"{manifest.metadata.name}: without Kubernetes; pods are processes"]
    lines += [line for line in (changed, not_told(manifest.asked), manifest.note, run_plan.note) if line]
    return [*lines, f"output: {run_plan.output}   Ctrl-C saves a checkpoint and stops", ""]


def follow(run_plan: RunPlan, job_folder: JobFolder, table: Table, request: Request) -> int:
    """Run the job and tell how it went."""
    # logs of another job of this name, or pods of a runner that was killed
    shutil.rmtree(job_folder.folder / "pods" if run_plan.goes_on else job_folder.folder, ignore_errors=True)
    job_folder.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with job_folder.log.open("a", buffering=1) as log:
        logs.configure(out=log)
        try:
            job = asyncio.run(Runner(run_plan, job_folder, table).run())
        except LoopEnded as error:
            print(f"{error}: see {job_folder.log}", file=sys.stderr)
            return FAILED
    table.end()
    return tell_end(job, job_folder, run_plan.output, request, time.monotonic() - began, table)


def tell_end(
    job: Job, job_folder: JobFolder, output: Path, request: Request, seconds: float | None, table: Table
) -> int:
    """Say how it ended; the exit code."""
    status = job.status
    root = owned(output, job.metadata.uid) or output
    if status.phase is Phase.SUCCEEDED:
        own = job.spec.get("entrypoint") is not None
        talks = job.spec.get("task") in [str(task) for task in Task if task.on_dialogues and not task.headed]
        opens = "" if own else console_text.opens_export(job)
        told = console_text.succeeded(status.results, root, seconds, opens=opens, talks=talks, own=own)
        table.say("", *told)
        return DONE
    if status.phase is Phase.FAILED and status.failure is not None:
        ranks = root / "logs" / f"attempt-{status.attempt}"
        log_folders = [path for path in (ranks, job_folder.folder / "logs") if path.is_dir()]
        table.say("", *console_text.failed(status.failure, log_folders))
        return FAILED
    accepted = status.condition("Accepted")
    if accepted is not None and accepted.status == "False":
        table.say("", f"refused: {accepted.message}")
        return MISTAKE
    if status.phase is Phase.SUSPENDED:
        table.say("", *console_text.suspended(status, request.command))
        return EXIT_INTERRUPTED
    table.say("", *console_text.stopped(status, request.command))
    return EXIT_INTERRUPTED
