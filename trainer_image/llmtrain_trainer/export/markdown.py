"""Markdown that says what it is given, whatever characters that has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST = 200
"""Characters of a name that a card shows."""
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def code(text: object) -> str:
    """A text as code, also inside of a table: no character of it begins or ends anything."""
    shown = _UNSEEN.sub(" ", str(text)).replace("`", "'").replace("|", "\\|").strip()
    return f"`{shown[:LONGEST]}`" if shown else ""


def plain(text: object) -> str:
    """A text as it is, without anything that Markdown or HTML would take for a mark."""
    shown = _UNSEEN.sub(" ", str(text)).strip()[: 2 * LONGEST]
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", shown)


def number(value: float | int | bool) -> str:
    """A number as people read it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing where it has no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines])


def location(uri: str) -> str:
    """Where something lies, for people elsewhere: of a folder of a machine only its own name is told."""
    if uri.startswith("file://"):
        return uri.rstrip("/").rpartition("/")[2]
    return uri
