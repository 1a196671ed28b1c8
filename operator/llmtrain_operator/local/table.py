"""The job in a terminal: news as it comes, and one row below it that stays true."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from llmtrain_api import Job, JobStatus, Progress

from . import console_text

UP_AND_CLEAR = "\r\x1b[{lines}A\x1b[J"


class Table:
    """Writes to a terminal, or plain lines to anything else.

    A terminal that is gone must not stop a job: what cannot be written is lost.

    Attributes:
        live: whether the row is redrawn in place; else a row is a line, and reports between are left out.

    Args:
        out: where to.
        live: whether the row is redrawn in place.
        clock: the current moment, UTC.
        columns: width of the terminal.
    """

    def __init__(
        self,
        out: TextIO,
        *,
        live: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        columns: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
    ) -> None:
        self._out = out
        self.live = live
        self._clock = clock
        self._columns = columns
        self._status: JobStatus | None = None
        self._row: tuple[str, ...] | None = None
        self._drawn = 0

    def say(self, *lines: str) -> None:
        """Lines that stay."""
        self._write([*lines])

    def show(self, job: Job, progress: Progress | None = None) -> None:
        """The job as it is now."""
        now = self._clock()
        lines = console_text.news(self._status or JobStatus(), job.status)
        self._status = job.status
        row = console_text.row(job, progress, now)
        stamped = [f"{now.astimezone():%H:%M:%S}  {line}" for line in lines]
        if self.live:
            self._row = row
            self._write(stamped)
            return
        # all but the age: time alone is no news
        changed = self._row is None or self._row[:-1] != row[:-1]
        first = self._row is None
        self._row = row
        header, line = console_text.aligned(row)
        self._write([*stamped, *([header] if first else []), *([line] if changed else [])])

    def begin_at(self, status: JobStatus) -> None:
        """What is known already is no news."""
        self._status = status

    def end(self) -> None:
        """The row stays where it is; what comes now is written below it."""
        self._drawn = 0
        self._row = None

    def _write(self, lines: list[str]) -> None:
        text = "".join(line + "\n" for line in lines)
        if self.live:
            text = self._over(text)
        if not text:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError):
            self.live = False

    def _over(self, text: str) -> str:
        """The text in place of the row that was drawn, and the row below it."""
        before = UP_AND_CLEAR.format(lines=self._drawn) if self._drawn else ""
        if self._row is None:
            self._drawn = 0
            return before + text
        width = self._columns()
        drawn = [line[:width] for line in console_text.aligned(self._row)]
        self._drawn = len(drawn)
        return before + text + "".join(line + "\n" for line in drawn)
