"""How far data preparation is: for the log, and for the launcher, which tells the operator."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from llmtrain_api.messages import MAX_ETA_SECONDS

from .. import log
from ..files import write_json
from ..records import PreparationRecord

TELL_EVERY = 10.0
WRITE_EVERY = 1.0
MEASURED = 1.0
"""Seconds of a pass before its rate says anything."""


class ProgressLog:
    """Tells from time to time how much of the text has been passed: once for each pass over it.

    Args:
        file: where the launcher looks, a `PreparationRecord`; None for nobody.
        clock: seconds that only rise.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._file, self._clock = file, clock
        self._ahead: dict[str, int] = {}
        self._finished = 0
        self._begin("", 0)
        self._written = clock()

    def expect(self, passes: dict[str, int]) -> None:
        """Say which passes there will be.

        Args:
            passes: the bytes of each by its name, in order.
        """
        self._ahead = dict(passes)

    def begin(self, name: str) -> Callable[[int], None]:
        """Begin a pass; one before it that was expected and never began is not missed any more.

        Args:
            name: of the pass, as `expect` has it.

        Returns:
            What counts bytes that were passed.
        """
        self.end()
        while self._ahead and next(iter(self._ahead)) != name:
            del self._ahead[next(iter(self._ahead))]
        self._begin(name, self._ahead.pop(name, 0))
        self._write()
        return self._count

    def end(self) -> None:
        """The pass that runs, if one does, is over, though it may have stopped before the last byte."""
        if self._name:
            self._finished += self._total
            self._begin("", 0)
            self._write()

    def record(self) -> PreparationRecord:
        """How far it is now. The time that is left is by the rate of this pass alone: passes differ."""
        done = self._finished + min(self._done, self._total)
        everything = self._finished + self._total + sum(self._ahead.values())
        seconds = self._clock() - self._began
        eta: float | None = None
        if self._done and seconds >= MEASURED and done < everything:
            eta = (everything - done) * seconds / self._done
        return PreparationRecord(
            prepared_bytes=done,
            bytes_to_prepare=everything,
            eta_seconds=eta if eta is not None and eta <= MAX_ETA_SECONDS else None,
        )

    def _begin(self, name: str, total: int) -> None:
        self._name, self._total, self._done = name, total, 0
        self._began = self._told = self._clock()

    def _count(self, passed: int) -> None:
        self._done += passed
        now = self._clock()
        if now - self._written >= WRITE_EVERY:
            self._write()
        if now - self._told < TELL_EVERY:
            return
        self._told = now
        percent = min(100, 100 * self._done // max(1, self._total))
        log.get().info(
            "data preparation", step=self._name, bytes=self._done, bytes_total=self._total, percent=percent
        )

    def _write(self) -> None:
        """For the launcher. Nothing depends on it: data are prepared where it cannot be written, too."""
        self._written = self._clock()
        record = self.record()
        if self._file is None or not record.bytes_to_prepare:
            return
        try:
            write_json(self._file, record.to_json())
        except OSError as error:
            log.get().debug("the progress of the preparation cannot be told", error=str(error))
