"""One command at a time where two would disturb each other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from barecluster.console import say


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file during the block; says so when it must wait for another command first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another command holds {path}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
