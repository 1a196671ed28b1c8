"""Shows a growing log, line by line."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

POLL = 0.1


class Tail:
    """Follows a log in a thread.

    Args:
        path: of the log, which need not be there yet.
        show: gets each line.
        start: bytes of the log that were there before and are not shown.
    """

    def __init__(self, path: Path, show: Callable[[str], None], start: int = 0) -> None:
        self._path, self._show, self._start = path, show, start
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tail", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Show what is left and end."""
        self._ended.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._path.exists():
            if self._ended.wait(POLL):
                return
        with self._path.open(errors="replace") as file:
            file.seek(self._start)
            rest = ""
            while True:
                last = self._ended.is_set()
                rest += file.read()
                *lines, rest = rest.split("\n")
                for line in lines:
                    self._show(line)
                if last:
                    return
                self._ended.wait(POLL)
