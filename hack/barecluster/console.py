"""What the person at the terminal sees: steps with elapsed times, and errors without a traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_started = time.monotonic()


class ClusterError(Exception):
    """Something went wrong that the message explains; the command line prints it and exits 1."""


def say(message: str) -> None:
    """Print one line with the seconds since the command began."""
    print(f"{time.monotonic() - _started:7.1f} s  {message}", flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce `what`, run the block, and tell how long it took."""
    say(f"{what} ...")
    began = time.monotonic()
    yield
    say(f"{what}: done in {time.monotonic() - began:.1f} s")
