"""Verbs that compare: ``diff``, ``checkpoints``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import output
from .options import Context, Format, Name, Namespace, Output, Runs, client


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="Name of a job.")],
    others: Annotated[list[str], typer.Argument(metavar="B", help="Names of others.")],
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """Show where jobs differ, each in a column: in what they ask for, what that came to, what came out."""
    from llmtrain.render.compare import differences
    from llmtrain.render.rows import Table
    from llmtrain.render.words import short

    here = client(namespace, context, runs)
    names = [first, *others]
    found = differences(*map(here.get_job, names))
    as_data = {part: {path: values for path, *values in rows} for part, rows in found.items()}
    if output.data(as_data, form):
        return
    if not found:
        output.lines([f"{' and '.join(names)} do not differ"])
        return
    rows = [tuple(map(short, (part, *row))) for part, part_rows in found.items() for row in part_rows]
    output.table(Table(("", "FIELD", *names), rows))


def checkpoints(
    name: Name,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
    form: Output = Format.TABLE,
) -> None:
    """List the steps that a job can go on from."""
    from llmtrain.render.compare import checkpoint_rows
    from llmtrain.render.rows import Table

    job = client(namespace, context, runs).get_job(name)
    rows = checkpoint_rows(job)
    uri = str(job.spec.get("output", {}).get("uri", "")).rstrip("/")
    if output.data({"output": uri, "checkpoints": [{"step": int(row[0])} for row in rows]}, form):
        return
    if not rows:
        output.lines([f"{name} has committed no checkpoint yet"])
        return
    output.table(Table(("STEP", "", "WENT ON FROM IT"), list(rows)))
    output.lines(["", f"they lie in {uri}/checkpoints; the newest good one is what a restart goes on from"])
