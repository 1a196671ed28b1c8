"""Times, numbers and other people's texts as words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)
"""What steers a terminal, or turns the direction of a text: logs and messages may come from anybody."""
CELL = 64
"""Characters of a table's cell."""


def plain(text: object) -> str:
    """A text without anything that steers a terminal."""
    return CONTROL.sub("", str(text))


def short(text: object) -> str:
    """A text for a cell of a table: one line, the end of a long one left out."""
    line = plain(" ".join(str(text).split()))
    return line if len(line) <= CELL else line[: CELL - 1] + "…"


def span(seconds: float) -> str:
    """``1 hour 30 minutes``, ``45 seconds``: two units at most."""
    left = max(round(seconds), 0)
    parts = []
    for name, size in UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}" + ("s" if count > 1 else ""))
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 seconds"


def when(moment: datetime | None, now: datetime) -> str:
    """``3 minutes ago``, ``in 2 hours``, ``now``; empty where it is not known."""
    if moment is None:
        return ""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def clock(moment: datetime | None) -> str:
    """The local time of day with its date."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentence(*parts: str | None) -> str:
    """Clauses as one sentence: empty ones left out, a capital letter first, a full stop last."""
    text = "; ".join(" ".join(part.split()).rstrip(".") for part in parts if part and part.strip())
    return f"{text[0].upper()}{text[1:]}." if text else ""


def joined(parts: Iterable[str | None]) -> str:
    """Those that are not empty, with commas."""
    return ", ".join(part for part in parts if part)
