"""The rows that a job has written and a tracker has not been told yet."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LEFT_OUT = ("step", "total_steps", "applied", "attempt", "time", "epoch")
LINE_LIMIT = 1 << 20


class Rows:
    """A file of JSON lines that grows. A last line without its end is left for the next look.

    Args:
        path: of it; need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def more(self) -> Iterator[tuple[int, dict[str, float]]]:
        """The step and the figures of each new row."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._at)
            while (line := file.readline(LINE_LIMIT)).endswith(b"\n"):
                self._at += len(line)
                found = row_of(line)
                if found is not None:
                    yield found


def row_of(line: bytes) -> tuple[int, dict[str, float]] | None:
    """A row; None of what is none."""
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    step = raw.get("step") if isinstance(raw, dict) else None
    if isinstance(step, bool) or not isinstance(step, int):
        return None
    return step, dict(figures(raw))


def figures(raw: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Every finite number, by its path with slashes."""
    for name, value in raw.items():
        if not before and name in LEFT_OUT:
            continue
        if isinstance(value, Mapping):
            yield from figures(value, f"{before}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            yield f"{before}{name}", float(value)


def of_sets(results: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The figures of each set of ``evaluation.datasets``, as TensorBoard has them: ``eval/NAME/loss``."""
    for one in results.get("datasets", []):
        for name, value in figures({**one, "loss": one.get("evalLoss")}):
            if name != "evalLoss":
                yield f"eval/{one['name']}/{name}", value
