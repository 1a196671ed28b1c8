"""What lies in a job's output and beside it: curves and logs as files. ``metrics_of`` reads any output."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from llmtrain_api import Job

from .values import Event, LogLine, Object

ATTEMPT = re.compile(r"attempt-([0-9]{1,9})")
POLL_SECONDS = 0.2


def metrics_of(output: str | Path) -> list[Object]:
    """The curve of a job from its output: a row a step, stitched over attempts.

    A step that was done again after a restart is told as it was done last. Each row has its ``attempt``.

    Args:
        output: the folder of the output, which has ``logs/attempt-K/metrics.jsonl``.
    """
    by_step: dict[int, Object] = {}
    folders = [path for path in Path(output).glob("logs/attempt-*") if ATTEMPT.fullmatch(path.name)]
    for folder in sorted(folders, key=_number):
        for row in _rows(folder / "metrics.jsonl"):
            by_step[int(row["step"])] = {"attempt": _number(folder), **row}
    return [by_step[step] for step in sorted(by_step)]


def curve_bytes(output: str | Path) -> int:
    """How long the files are that `metrics_of` reads."""
    total = 0
    for file in Path(output).glob("logs/attempt-*/metrics.jsonl"):
        with suppress(OSError):
            total += file.stat().st_size
    return total


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _rows(file: Path) -> Iterator[Object]:
    with suppress(OSError):
        for line in file.read_text(errors="replace").splitlines():
            # the last line of a process that was killed may be torn
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("step"), int):
                    yield row


def recorded(job: Job) -> list[Event]:
    """What the status itself knows of what happened: the attempts' beginnings and ends, oldest first."""
    found = []
    for one in job.status.attempts:
        begins = f"attempt {one.number} begins" + (
            f" from step {one.resumed_step}" if one.resumed_step else ""
        )
        found.append(Event(one.started_at, "Normal", "Started", begins))
        if one.ended_at is None:
            continue
        reason = one.failure_class or one.reason
        kind = "Warning" if one.failure_class else "Normal"
        text = f"attempt {one.number} ended" + (f": {one.message}" if one.message else "")
        found.append(Event(one.ended_at, kind, reason.value if reason else "Ended", text))
    return found


def lines_of(file: Path, tail: int | None) -> Iterator[LogLine]:
    """The lines of a file that are there."""
    lines = file.read_text(errors="replace").splitlines()
    for line in lines if tail is None else lines[max(len(lines) - tail, 0) :]:
        yield LogLine(file.stem, line)


def followed(file: Path, goes_on: Callable[[], bool]) -> Iterator[LogLine]:
    """The lines of a file, and those that come, as long as somebody writes it.

    Args:
        file: the log.
        goes_on: whether its writer may still write.
    """
    with file.open(errors="replace") as text:
        rest = ""
        while True:
            # asked first: what was written before the end is read after it
            last = not goes_on()
            while chunk := text.read(1 << 16):
                *whole, rest = (rest + chunk).split("\n")
                yield from (LogLine(file.stem, line) for line in whole)
            if last:
                break
            time.sleep(POLL_SECONDS)
        if rest:
            yield LogLine(file.stem, rest)
