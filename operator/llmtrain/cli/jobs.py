"""Verbs that look: ``ls``, ``show``, ``why``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from . import output
from .options import Context, Format, Name, Namespace, Output, Runs, client


def ls(
    namespace: Namespace = None,
    everywhere: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="The jobs of all namespaces.")
    ] = False,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """List jobs: phase, step, loss, tokens a second, when they end; wide: why they wait, and more."""
    from llmtrain.render.rows import jobs_table
    from llmtrain_api import Job

    here = client(namespace, context, runs)
    found = here.list_objects(all_namespaces=everywhere)
    if output.data({"apiVersion": "v1", "kind": "List", "items": found}, form):
        return
    if not found:
        where = "on this cluster" if everywhere else f"in namespace {here.namespace}"
        output.lines([f"no jobs {where}; `llmtrain submit JOB.yaml` begins one"])
        return
    jobs = [Job.model_validate(raw) for raw in found]
    output.table(jobs_table(jobs, datetime.now(UTC), wide=form is Format.WIDE, namespaces=everywhere))


def show(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Show one job on one screen; wide: with a row for each attempt."""
    from llmtrain.render.rows import attempts_table
    from llmtrain.render.show import show as page
    from llmtrain_api import Job

    here = client(namespace, context, runs)
    raw = here.get_object(name)
    if output.data(raw, form):
        return
    job, now = Job.model_validate(raw), datetime.now(UTC)
    for title, rows in page(job, here.get_job_events(name), now):
        if title:
            output.lines(["", title], output.TITLE)
        output.pairs(rows, "  " if title else "")
    if form is Format.WIDE and job.status.attempts:
        output.lines(["", "Attempts"], output.TITLE)
        output.table(attempts_table(job, now))


def why(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Say why a job waits, stands still or has failed: one paragraph, the evidence, what to do."""
    from llmtrain.render import why as answer

    here = client(namespace, context, runs)
    job = here.get_job(name)
    found = answer.why(job, here.get_job_events(name), datetime.now(UTC))
    if not output.data(found.to_json(), form):
        output.titled(answer.lines(found), answer.TITLES)
