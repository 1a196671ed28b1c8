"""``llmtrain top``: looks again and again, in place."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from types import FrameType
from typing import Annotated

import typer

from . import output
from .options import Context, Namespace, Runs, client

Everywhere = Annotated[bool, typer.Option("-A", "--all-namespaces", help="The jobs of all namespaces.")]
Every = Annotated[
    float,
    typer.Option("--every", metavar="SECONDS", min=0.5, help="Time between two looks (default: 2)."),
]


def top(
    namespace: Namespace = None,
    everywhere: Everywhere = False,
    every: Every = 2.0,
    context: Context = None,
    runs: Runs = None,
) -> None:
    """Watch jobs and the curves of their losses live; Ctrl-C ends it."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from llmtrain.render.live import Curves, live_table, narrowed

    here, curves, console = client(namespace, context, runs), Curves(), Console(highlight=False)

    def look() -> Text:
        jobs = here.list_jobs(all_namespaces=everywhere)
        curves.take(jobs)
        table = live_table(jobs, curves, datetime.now(UTC), namespaces=everywhere)
        if console.is_terminal:
            table = narrowed(table, console.width)
        lines = [Text(line, style) for line, style in output.aligned(table)]
        # a row that is longer than the terminal would push others out of it
        return Text("\n", no_wrap=True, overflow="crop").join(lines)

    if not console.is_terminal:
        console.print(look(), soft_wrap=True)
        return
    pressed: list[int] = []

    def press(number: int, _: FrameType | None) -> None:
        # where Python is in a destructor the exception is lost, and what was pressed must not be
        pressed.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, press)
    try:
        with Live(look(), console=console, auto_refresh=False) as live:
            while not pressed:
                time.sleep(every)
                live.update(look(), refresh=True)
    except KeyboardInterrupt:
        # that is how it ends
        return
    finally:
        signal.signal(signal.SIGINT, before)
