"""``llmtrain_trainer track``: tell one tracker what the job writes, until the launcher says that it is over.

It shares nothing with the ranks but files: whatever a library does, training does not hear of it.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile

from .. import log
from ..files import read_json, write_json
from ..output import Output
from .rows import Rows, figures, of_sets
from .tracker import Run, Tracker

LOOK_SECONDS = 1.0
MOST_SECONDS = 60.0
"""Between two tries of what a tracker refused."""
TRIES_AT_THE_END = 3


class Follower:
    """One tracker of one attempt.

    Args:
        job: whose curves.
        output: where they are written.
        run: the run that they belong to.
        opened: begins it.
        sleep: until something may have changed; False once the attempt is over.
    """

    def __init__(
        self,
        job: JobFile,
        output: Output,
        run: Run,
        opened: Callable[[], Tracker],
        sleep: Callable[[float], bool],
    ) -> None:
        logs = [output.logs(number) for number in range(job.attempt + 1)]
        self._files = [[Rows(one / name) for one in logs] for name in ("metrics.jsonl", "evaluations.jsonl")]
        self._told = run.folder / "told.json"
        self._opened, self._sleep, self._output = opened, sleep, output
        self._tracker: Tracker | None = None
        self._waiting: list[tuple[int, dict[str, float]]] = []
        self._last = int((read_json(self._told) or {}).get("step", -1))
        self._failures = 0

    def follow(self) -> bool:
        """Tell all of it; whether all was told."""
        goes_on = True
        while goes_on:
            goes_on = self._sleep(min(MOST_SECONDS, LOOK_SECONDS * 2**self._failures))
            self._try(self._tell)
        results = self._output.results
        for _ in range(TRIES_AT_THE_END):
            if self._try(lambda: self._finish(read_json(results))):
                return True
            time.sleep(LOOK_SECONDS)
        log.get().warning("a tracker was not told of all rows", rows=len(self._waiting))
        return False

    def _try(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception as error:
            self._failures = min(self._failures + 1, 6)
            log.get().warning("a tracker cannot be told; it is tried again", error=repr(error)[:500])
            return False
        self._failures = 0
        return True

    def _tell(self) -> None:
        self._waiting += self._new()
        if self._tracker is None and self._waiting:
            self._tracker = self._opened()
        while self._tracker is not None and self._waiting:
            step, values = self._waiting[0]
            self._tracker.log(step, values)
            self._waiting.pop(0)
            self._last = max(self._last, step)
        write_json(self._told, {"step": self._last})

    def _new(self) -> Iterator[tuple[int, dict[str, float]]]:
        """New rows in the order of their steps: steps that an attempt goes over again are told once."""
        metrics, evaluations = self._files
        found: dict[int, dict[str, float]] = {}
        for least, files in ((self._last + 1, metrics), (self._last, evaluations)):
            for step, values in (row for file in files for row in file.more()):
                if step >= least:
                    found.setdefault(step, {}).update(values)
        yield from sorted(found.items())

    def _finish(self, results: dict[str, Any] | None) -> None:
        self._tell()
        if self._tracker is not None:
            summary = dict(figures(results or {})) | dict(of_sets(results or {}))
            self._tracker.finish(summary, succeeded=results is not None)


def until_stdin_ends(seconds: float) -> bool:
    """Sleep; whether the launcher still holds the other end."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return not ready


def tracking_folder(output: Output, number: int, kind: str) -> Path:
    """What a tracker's library may write to."""
    return output.root / "tracking" / f"{number}-{kind}"
