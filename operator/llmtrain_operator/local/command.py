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

import yaml

from llmtrain_api import IfExists, InvalidJob, Job, JobSpec, Metadata, Phase, parse_manifest
from llmtrain_api.names import EXIT_INTERRUPTED

from .. import logs
from ..kube.api import Object
from . import console_text
from .kubelet.gpus import gpus
from .runner import Broken, Runner, Work
from .saved_jobs import Busy, Keep, Kept, changes, output_folder, owned, reopened
from .scale_down import Wishes, fitted, said
from .table import Table

DONE, FAILED, MISTAKE = 0, 1, 2


@dataclass(frozen=True)
class Request:
    """What the command line asks for.

    Attributes:
        manifest: YAML of the job.
        runs: where claims and what is kept of jobs lie.
        output: the output's folder, if it shall not be in ``runs``.
        new: forget an earlier run of this name.
        command: what the person typed.
    """

    manifest: Path
    runs: Path
    output: Path | None
    wishes: Wishes
    new: bool
    command: str


@dataclass(frozen=True)
class Manifest:
    """A job to run.

    Attributes:
        asked: the spec as it was written.
        document: the manifest as it is run here.
        spec: its spec.
    """

    metadata: Metadata
    asked: JobSpec
    document: Object
    spec: JobSpec


class Refused(Exception):
    """It cannot be run as it is: one line a reason."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def run(request: Request, out: TextIO) -> int:
    """Run it; the exit code: 0 succeeded, 1 failed, 2 refused, 75 stopped with a checkpoint."""
    try:
        manifest = read(request)
        keep = Keep(request.runs, manifest.metadata.namespace, manifest.metadata.name)
        with keep.locked():
            return run_alone(request, manifest, keep, out)
    except Refused as refused:
        for reason in refused.reasons:
            print(f"{request.manifest}: {reason}", file=sys.stderr)
    except Busy as busy:
        print(f"{request.manifest}: another process runs this job (pid {busy})", file=sys.stderr)
    return MISTAKE


def run_alone(request: Request, manifest: Manifest, keep: Keep, out: TextIO) -> int:
    """Run it while nobody else can.

    Raises:
        Refused: it cannot be run as it is.
    """
    output = (request.output or output_folder(manifest.spec.output.uri, request.runs)).absolute()
    kept = None if request.new else keep.load()
    work = decide(kept, manifest.document, request.runs, output)
    table = Table(out, live=out.isatty())
    if work is None:
        assert kept is not None
        table.say(
            f"{kept.job.metadata.name} is complete already; output.ifExists: new or resume would train again"
        )
        return tell_end(kept.job, keep, output, request, None, table)
    table.say(*opening(manifest, work))
    return follow(work, keep, table, request)


def read(request: Request) -> Manifest:
    """The manifest, made to fit this machine.

    Raises:
        Refused: with every mistake in it.
    """
    if importlib.util.find_spec("llmtrain_trainer") is None:
        raise Refused(
            "the trainer is not installed here: pip install 'llm-training-operator[operator,trainer]'"
        )
    try:
        document = yaml.safe_load(request.manifest.read_text())
        metadata, asked = parse_manifest(document)
        if asked.output.in_object_store:
            raise Refused(
                f"spec.output.uri: got {asked.output.uri!r}, and here all pods share this machine's folders; "
                "use pvc://CLAIM/FOLDER or file:///FOLDER"
            )
        document = fitted(document, asked, len(gpus()), request.wishes)
        return Manifest(metadata, asked, document, parse_manifest(document)[1])
    except (OSError, yaml.YAMLError) as error:
        raise Refused(str(error)) from None
    except InvalidJob as invalid:
        raise Refused(*invalid.mistakes) from None


def decide(kept: Kept | None, document: Object, runs: Path, output: Path) -> Work | None:
    """A new job, or the kept one again; None when it is complete and nothing is to be done.

    Raises:
        Refused: it was stopped as another job than this one.
    """
    new = Work(document, False, runs, output)
    if kept is None or kept.output != str(output) or owned(output, kept.job.metadata.uid) is None:
        return new
    different = changes(kept.raw["spec"], document["spec"])
    if kept.job.status.phase is Phase.SUCCEEDED:
        once = parse_manifest(document)[1].output.if_exists is IfExists.FAIL
        return None if once and not different else new
    status = kept.job.status
    step = f"step {status.checkpoint.step}" if status.checkpoint else "the beginning"
    if status.phase is Phase.FAILED:
        note = f"tries again from {step}; attempt {status.attempt} was the last that failed"
        return Work(reopened(kept, document["spec"]), True, runs, output, note)
    if different:
        raise Refused(
            f"{kept.job.metadata.name} is under way with another spec: {'; '.join(different)}",
            "put that back to go on, or add --new for a new job (output.ifExists says what of its folder)",
        )
    return Work(kept.raw, True, runs, output, f"goes on from {step}, where it was stopped")


def opening(manifest: Manifest, work: Work) -> list[str]:
    """The first lines."""
    changed = said(manifest.asked, manifest.spec)
    lines = [f"{manifest.metadata.name}: without Kubernetes; pods are processes"]
    lines += [line for line in (changed, work.note) if line]
    return [*lines, f"output: {work.output}   Ctrl-C saves a checkpoint and stops", ""]


def follow(work: Work, keep: Keep, table: Table, request: Request) -> int:
    """Run the job and tell how it went."""
    # logs of another job of this name, or pods of a runner that was killed
    shutil.rmtree(keep.folder / "pods" if work.goes_on else keep.folder, ignore_errors=True)
    keep.folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with keep.log.open("a", buffering=1) as log:
        logs.configure(out=log)
        try:
            job = asyncio.run(Runner(work, keep, table).run())
        except Broken as error:
            print(f"{error}: see {keep.log}", file=sys.stderr)
            return FAILED
    table.end()
    return tell_end(job, keep, work.output, request, time.monotonic() - began, table)


def tell_end(
    job: Job, keep: Keep, output: Path, request: Request, seconds: float | None, table: Table
) -> int:
    """Say how it ended; the exit code."""
    status = job.status
    root = owned(output, job.metadata.uid) or output
    if status.phase is Phase.SUCCEEDED:
        table.say("", *console_text.succeeded(status.results, root, seconds))
        return DONE
    if status.phase is Phase.FAILED and status.failure is not None:
        ranks = root / "logs" / f"attempt-{status.attempt}"
        places = [path for path in (ranks, keep.folder / "logs") if path.is_dir()]
        table.say("", *console_text.failed(status.failure, places))
        return FAILED
    accepted = status.condition("Accepted")
    if accepted is not None and accepted.status == "False":
        table.say("", f"refused: {accepted.message}")
        return MISTAKE
    table.say("", *console_text.stopped(status, request.command))
    return EXIT_INTERRUPTED
