"""What a rank does before its first step, and how long each part takes. Imports nothing heavy."""

from __future__ import annotations

import os
import time
from pathlib import Path

from .. import log


class Startup:
    """Parts of a rank's start, from the start of its process."""

    def __init__(self) -> None:
        self._since = time.monotonic() - process_age()
        self.parts: dict[str, float] = {}

    def done(self, part: str) -> None:
        """A part is done; it began where the one before ended."""
        now = time.monotonic()
        self.parts[part] = now - self._since
        self._since = now

    @property
    def seconds(self) -> float:
        """All parts so far."""
        return sum(self.parts.values())

    def say(self) -> None:
        """One line for all of it, with the CPU time that the process has used by now."""
        used = time.process_time()
        parts = {f"{name}_seconds": round(seconds, 3) for name, seconds in self.parts.items()}
        log.get().info("started up", **parts, seconds=round(self.seconds, 3), cpu_seconds=round(used, 3))


def process_age() -> float:
    """Seconds since the kernel started this process."""
    # the name may hold blanks and parentheses; field 22 of the line is counted from behind it
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
