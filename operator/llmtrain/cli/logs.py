"""``llmtrain logs``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Context, Name, Namespace, Runs, client


def logs(
    name: Name,
    rank: Annotated[
        int | None,
        typer.Option("--rank", metavar="N", help="Node rank (default: who failed first, else 0)."),
    ] = None,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="K", help="Attempt (default: the current one).")
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", metavar="N", min=0, help="Lines from the end.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on with what comes, also in the next attempts.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    runs: Runs = None,
) -> None:
    """Print the log of a rank; of a pod that is gone its end, and where the whole lies."""
    from llmtrain.render.words import plain

    found = client(namespace, context, runs).get_job_logs(
        name, rank=rank, attempt=attempt, tail=tail, follow=follow
    )
    source = None
    for line in found:
        if not line.source:
            # not of the log, but about it
            print(f"--- {plain(line.text)}", file=sys.stderr, flush=True)
            continue
        if follow and line.source != source:
            print(f"--- {plain(line.source)}", file=sys.stderr, flush=True)
        source = line.source
        print(plain(line.text), flush=follow)
