"""Verbs that look: ``ls``, ``show``, ``why``."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .options import Context, Format, Name, Namespace, Output, Runs, client

if TYPE_CHECKING:
    from llmtrain.client import Client
    from llmtrain.values import Event


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
    from llmtrain.client import job_of
    from llmtrain.render.rows import jobs_table

    here = client(namespace, context, runs)
    found = here.list_objects(all_namespaces=everywhere)
    if output.data({"apiVersion": "v1", "kind": "List", "items": found}, form):
        return
    if not found:
        output.lines([_none(here.namespace, everywhere, runs)])
        return
    jobs = [job_of(raw) for raw in found]
    output.table(jobs_table(jobs, datetime.now(UTC), wide=form is Format.WIDE, namespaces=everywhere))


def _none(namespace: str, everywhere: bool, runs: Path | None) -> str:
    if runs is not None:
        return f"no job was run in {runs}; `llmtrain run JOB.yaml --runs {shlex.quote(str(runs))}` begins one"
    where = "on this cluster" if everywhere else f"in namespace {namespace}"
    return f"no jobs {where}; `llmtrain submit JOB.yaml` begins one"


def _events(here: Client, name: str) -> list[Event]:
    """Events beside what the object says itself: who may not read them is told so, and answered without."""
    from llmtrain.errors import Forbidden

    try:
        return here.get_job_events(name)
    except Forbidden as error:
        print(f"without events: {error}", file=sys.stderr)
        return []


def show(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Show one job on one screen; wide: with a row for each attempt."""
    from llmtrain.client import job_of
    from llmtrain.render.rows import attempts_table
    from llmtrain.render.show import show as page

    here = client(namespace, context, runs)
    raw = here.get_object(name)
    if output.data(raw, form):
        return
    job, now = job_of(raw), datetime.now(UTC)
    for title, rows in page(job, _events(here, name), now):
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
    found = answer.why(job, _events(here, name), datetime.now(UTC))
    if not output.data(found.to_json(), form):
        output.titled(answer.lines(found), answer.TITLES)
