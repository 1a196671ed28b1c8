"""What the engine asks of whoever tells traces."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from ..types import Observed


class Traces(Protocol):
    """Follows how attempts start."""

    def note(self, seen: Observed, now: datetime, /) -> None:
        """A job as it is; nobody waits for anything."""
        ...

    def forget(self, uid: str, /) -> None:
        """The job is gone."""
        ...


class NoTraces:
    """Where nobody collects any."""

    def note(self, seen: Observed, now: datetime) -> None:
        """Nothing is followed."""

    def forget(self, uid: str) -> None:
        """Nothing was kept."""
