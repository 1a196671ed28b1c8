"""What a backend tells beside the object itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = dict[str, Any]
"""Plain JSON."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job.

    Attributes:
        time: when it last happened.
        kind: ``Normal`` or ``Warning``.
        reason: one word for programs.
        count: how often.
        about: what it happened to, such as ``pod tiny-0-1``; empty for the job itself.
    """

    time: datetime | None
    kind: str
    reason: str
    message: str
    count: int = 1
    about: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log.

    Attributes:
        source: the pod or the file that it is from.
        text: without its line break.
    """

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class LogRequest:
    """Which log of a job.

    Attributes:
        rank: node rank of the pod; None: the one that failed first, else rank 0.
        attempt: number of the attempt; None: the current one.
        tail: so many lines from the end; None: all that is there.
        follow: go on with what comes, also in attempts that follow, until the job is over.
    """

    rank: int | None = None
    attempt: int | None = None
    tail: int | None = None
    follow: bool = False
