"""``llmtrain web``, and the same page beside ``llmtrain run --web``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from llmtrain.errors import Failed

END_SECONDS = 10.0


def web(
    runs: Annotated[
        Path, typer.Option("--runs", metavar="DIR", help="Folder of claims of `llmtrain run`.")
    ] = Path("runs"),
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65535, help="Port (default: any that is free).")
    ] = 0,
    with_parent: Annotated[bool, typer.Option("--with-parent", hidden=True)] = False,
) -> None:
    """Serve the page of this machine's jobs to this machine; Ctrl-C ends it.

    The address that it prints has a new random token in it: whoever has that may see the jobs, their logs
    and samples of their data, and may stop, resume and delete them. docs/web.md tells of the page of a
    cluster.
    """
    from llmtrain.web.serve import parent_gone, serve_local, signalled

    ended = parent_gone if with_parent else signalled
    asyncio.run(serve_local(runs.absolute(), port, ended, lambda address: print(address, flush=True)))


@contextmanager
def beside(runs: Path) -> Iterator[str]:
    """The page as a process of its own that ends with this one, however that ends. Yields its address.

    Raises:
        Failed: it did not begin.
    """
    command = [sys.executable, "-W", "ignore", "-m", "llmtrain", "web", "--runs", str(runs), "--with-parent"]
    # a session of its own: Ctrl-C is for the job, which the page shows while it saves
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise Failed(f"the page did not begin: `llmtrain web --runs {runs}` tells why")
        yield address
    finally:
        process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
