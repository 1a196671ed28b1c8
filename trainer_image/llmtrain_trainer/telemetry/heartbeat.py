"""When a rank was last seen to go on, in a small file that its launcher reads. No torch.

A rank changes its phase many times a step; each change is noted by a write to mapped memory, without a call
of the system. The clock is the machine's, which both processes have.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .phases import WHOLE, Phase

_RECORD = struct.Struct("<qqqqq32s")
"""Moment in ns, index of the phase, longest phase of a step in ns, process, and the newest collective
operation: which one of this rank it is, and its name."""
_PHASES = tuple(Phase)


@dataclass(frozen=True)
class Pulse:
    """What is known of a rank.

    Attributes:
        rank: global rank.
        phase: what it is busy with.
        age: seconds since it came to that.
        longest: seconds that a phase of a step took at most so far; 0 before the first.
        pid: its process, as it says itself.
        stopped: whether that is stopped by a signal.
        collective: how many collective operations it has entered.
        operation: the newest of them.
    """

    rank: int
    phase: Phase
    age: float
    longest: float
    pid: int = 0
    stopped: bool = False
    collective: int = 0
    operation: str = ""


def path_of(scratch: str, attempt: int, rank: int) -> Path:
    """The file of a rank, in the folder that the pod's processes share."""
    return Path(scratch) / f"attempt-{attempt}-rank-{rank}.heartbeat"


class Heartbeat:
    """The rank's side."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """Begin in start-up."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(_RECORD.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _RECORD.size)
        self._clock, self._longest, self._pid = clock, 0, os.getpid()
        self._phase, self._since = Phase.STARTUP, clock()
        self._collective, self._operation = 0, b""
        self._write()

    def __call__(self, phase: Phase) -> None:
        """The rank is busy with that from now on."""
        now = self._clock()
        if self._phase not in WHOLE:
            self._longest = max(self._longest, now - self._since)
        self._phase, self._since = phase, now
        self._write()

    def enters(self, operation: str) -> None:
        """The rank enters a collective operation now; the change of its phase follows."""
        self._collective += 1
        self._operation = operation.encode()
        self._write()

    def _write(self) -> None:
        _RECORD.pack_into(
            self._memory, 0, self._since, _PHASES.index(self._phase), self._longest, self._pid,
            self._collective, self._operation,
        )  # fmt: skip


def read(path: Path, rank: int, now: int | None = None) -> Pulse | None:
    """The launcher's side: what a rank's file says; None before it has begun, or if it is none."""
    try:
        since, index, longest, pid, collective, name = _RECORD.unpack(path.read_bytes())
    except (OSError, struct.error):
        return None
    if not since or not 0 <= index < len(_PHASES):
        return None
    age = ((time.monotonic_ns() if now is None else now) - since) / 1e9
    operation = name.rstrip(b"\0").decode(errors="replace")
    return Pulse(
        rank, _PHASES[index], age, longest / 1e9, pid, collective=max(collective, 0), operation=operation
    )
