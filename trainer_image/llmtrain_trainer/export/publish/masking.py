"""Errors as they may be told: without a word of a token, a password or a signed address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

LONGEST = 200
"""Characters of an error that are told."""
_QUERY = re.compile(r"\?\S+")
_USER = re.compile(r"//[^/\s@]+@")
_SECRET = re.compile(r"hf_\w+|(?i:(?:bearer|basic)\s+\S+)")
HIDDEN = "***"


def told(error: BaseException, secrets: Iterable[str | None] = ()) -> str:
    """Its kind and its first line.

    Args:
        error: whatever a library has raised.
        secrets: what must not be in it.
    """
    line = masked(next(iter(str(error).strip().splitlines()), ""), secrets)
    return f"{type(error).__name__}: {line[:LONGEST]}" if line else type(error).__name__


def masked(line: str, secrets: Iterable[str | None] = ()) -> str:
    """The line without these secrets, and without what looks like one."""
    for secret in secrets:
        if secret:
            line = line.replace(secret, HIDDEN)
    return _SECRET.sub(HIDDEN, _USER.sub(f"//{HIDDEN}@", _QUERY.sub("", line)))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """It and what it comes from, which alone may tell."""
    while error is not None:
        yield error
        error = error.__cause__
