"""What the person at the terminal sees: steps with elapsed times, and errors without a traceback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_started = time.monotonic()


class ClusterError(Exception):
    """Something went wrong that the message explains; the command line prints it and exits 1."""


def say(message: str) -> None:
    """Print one line with the seconds since the command began."""
    print(f"{time.monotonic() - _started:7.1f} s  {message}", flush=True)


SIGN_OF_LIFE_SECONDS = 60.0


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce `what`, run the block, and tell how long it took; once a minute, that it still runs."""
    say(f"{what} ...")
    began = time.monotonic()
    over = threading.Event()
    alive = threading.Thread(target=_signs_of_life, args=(what, over), daemon=True)
    alive.start()
    try:
        yield
    finally:
        over.set()
        alive.join()
    say(f"{what}: done in {time.monotonic() - began:.1f} s")


def _signs_of_life(what: str, over: threading.Event) -> None:
    while not over.wait(SIGN_OF_LIFE_SECONDS):
        say(f"{what} ... still at it")
