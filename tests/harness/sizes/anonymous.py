"""How much memory of its own a process, or a tree of them, has: what no file backs and no limit forgives."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

M_MMAP_THRESHOLD = -3
"""Of mallopt(3)."""
EVERY = 0.002
"""Seconds between two looks."""


def anonymous(pid: int | str = "self") -> int:
    """Anonymous bytes of a process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("RssAnon")), 0)


def trimmed() -> int:
    """Anonymous bytes of this process, once what it has freed is given back: nothing new hides in that."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return anonymous()


def give_back_at_once() -> None:
    """From here on what this process frees of a megabyte or more is given back, so that what is seen is held.

    By default glibc keeps what was freed in pieces under 32 MB, perhaps 100 MB of it, for what comes next.
    """
    ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 1 << 20)


def tree(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


class Peak:
    """The highest figure seen so far.

    Attributes:
        value: bytes.
    """

    def __init__(self) -> None:
        self.value = 0

    def see(self, now: int) -> None:
        """One more figure."""
        self.value = max(self.value, now)


@contextmanager
def watched(measure: Callable[[], int] = anonymous, every: float = EVERY) -> Iterator[Peak]:
    """The peak of a figure while the block runs, looked at by a thread."""
    peak, ended = Peak(), threading.Event()

    def look() -> None:
        while not ended.wait(every):
            peak.see(measure())

    peak.see(measure())
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()
        peak.see(measure())


def tree_peak(pid: int, alive: Callable[[], bool], every: float = 0.02) -> Peak:
    """The peak of a whole tree of processes, from now until it has ended."""
    peak = Peak()
    while alive():
        peak.see(sum(map(anonymous, tree(pid))))
        time.sleep(every)
    return peak
