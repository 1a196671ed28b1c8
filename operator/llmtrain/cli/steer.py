"""Verbs that begin, stop and change jobs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmtrain.errors import Mistake

from . import output
from .options import Context, Format, JobOrSweep, Name, Namespace, Output, Runs, Settings, client

if TYPE_CHECKING:
    from llmtrain.client import Client
    from llmtrain_api import Job

NOT_CREATED = "would be taken in (nothing was created)"


NewName = Annotated[str | None, typer.Option("--name", help="Name of the job, instead of the manifest's.")]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Let the cluster check it, and say what would be made and what the namespace lacks for it "
        "(Secrets, claims, quotas); nothing is created.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option("--wait", help="Wait until the job is over: exit code 0 if it succeeded, 1 if it failed."),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", metavar="SECONDS", min=1, help="How long --wait waits (default: 30 days)."),
]


def submit(
    manifest: JobOrSweep,
    settings: Settings = None,
    name: NewName = None,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = 30 * 86400.0,
    namespace: Namespace = None,
    context: Context = None,
    form: Output = Format.TABLE,
) -> None:
    """Check a manifest and begin its job, or its LLMTrainingSweep.

    Exit codes: 0 it is created, or with --dry-run would be, also where it would wait for what the namespace
    lacks; 1 with --wait, the job has failed; 2 the manifest, the cluster's rules or the operator refuse it.
    """
    from llmtrain.manifests import read
    from llmtrain_operator.local.sweep_file import is_sweep

    if is_sweep(manifest):
        if settings or name or wait:
            raise Mistake(
                "--set, --name and --wait are for a job; write what differs into the sweep's manifest"
            )
        _submit_sweep(manifest, namespace, context, form, dry_run=dry_run)
        return
    # what is wrong with the file is told whether or not a cluster answers
    document = read(manifest)
    here = client(namespace, context)
    job = here.train(document, name=name, namespace=namespace, settings=settings or (), dry_run=dry_run)
    told = not output.data(job.to_json(), form)
    if dry_run:
        _tried(here, job, told=told)
        return
    if told:
        _begun(job, here.namespace)
    if wait:
        _wait_for(here, job, timeout, told=told)


def _wait_for(here: Client, job: Job, timeout: float, *, told: bool) -> None:
    """Until the job has succeeded.

    Raises:
        Failed: it has not.
        TimedOut: it is not over yet.
    """
    meta = job.metadata
    done = here.wait_for_job_status(meta.name, namespace=meta.namespace, timeout=timeout)
    if told:
        results = done.status.results
        work = f": {results.work}" if results and results.work else ""
        output.lines([f"{meta.name} has succeeded{work}"])


def _tried(here: Client, job: Job, *, told: bool) -> None:
    """What comes of a job that was only tried.

    Raises:
        Mistake: the API server takes it in, and the operator would then refuse it.
    """
    from llmtrain.foreseen import made_of, mistakes_of

    if mistakes := mistakes_of(job):
        raise Mistake(*mistakes)
    if told:
        meta = job.metadata
        output.lines([f"job {meta.namespace}/{meta.name} {NOT_CREATED}", *made_of(job)])
    for sentence in here.lacking(job):
        print(sentence, file=sys.stderr)


def _submit_sweep(
    manifest: Path, namespace: str | None, context: str | None, form: Format, *, dry_run: bool
) -> None:
    from llmtrain.manifests import read_sweep

    document = read_sweep(manifest)
    here = client(namespace, context)
    found = here.sweep(document, namespace=namespace, dry_run=dry_run)
    if output.data(found, form):
        return
    meta = found["metadata"]
    if dry_run:
        output.lines([f"sweep {meta['namespace']}/{meta['name']} {NOT_CREATED}"])
        return
    where = _where(meta["namespace"], here.namespace)
    output.lines(
        [
            f"sweep {meta['namespace']}/{meta['name']} is created: "
            f"kubectl get llmsweep {meta['name']}{where}, llmtrain ls{where}"
        ]
    )


def _where(namespace: str, usual: str, runs: Path | None = None) -> str:
    """What has to stand behind a verb so that it means the same place."""
    if runs is not None:
        return f" --runs {shlex.quote(str(runs))}"
    return f" -n {namespace}" if namespace != usual else ""


def _begun(job: Job, usual: str, runs: Path | None = None) -> None:
    name, namespace = job.metadata.name, job.metadata.namespace
    where = _where(namespace, usual, runs)
    told = f"is created: llmtrain show {name}{where}, llmtrain logs {name}{where} -f"
    output.lines([f"job {namespace}/{name} {told}"])


def stop(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Let a job save a checkpoint and give its nodes back (spec.suspend: true)."""
    here = client(namespace, context, runs)
    if output.data(here.suspend(name).to_json(), form):
        return
    again = f"llmtrain resume {name}{_where(here.namespace, here.namespace, runs)}"
    output.lines([f"{name} saves a checkpoint and gives its nodes back; {again} goes on from there"])


def resume(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Let a job that was stopped go on from its checkpoint."""
    if not output.data(client(namespace, context, runs).resume(name).to_json(), form):
        output.lines([f"{name} goes on as soon as there is room"])


def retry(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Try a job that is over again, from its newest checkpoint."""
    job = client(namespace, context, runs).retry(name)
    if output.data(job.to_json(), form):
        return
    step = f"from step {job.status.checkpoint.step}" if job.status.checkpoint else "from the beginning"
    output.lines([f"{name} is tried again {step}"])


def clone(
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Name of the new job.")],
    settings: Settings = None,
    from_step: Annotated[
        str | None,
        typer.Option(
            "--from-step",
            metavar="STEP",
            help="Go on from this checkpoint of the other job, or from the newest (default: begin anew).",
        ),
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Begin a job that trains what another trains, with some fields set."""
    here = client(namespace, context, runs)
    job = here.clone(name, new_name, settings or (), from_step=from_step)
    if not output.data(job.to_json(), form):
        _begun(job, here.namespace, runs)


def delete(name: Name, namespace: Namespace = None, context: Context = None, runs: Runs = None) -> None:
    """Delete a job and its pods. Its output stays."""
    here = client(namespace, context, runs)
    uri = here.get_object(name).get("spec", {}).get("output", {}).get("uri", "")
    here.delete_job(name)
    output.lines([f"{name} is deleted; its output stays in {uri}"])
