"""What the engine asks of whoever knows the runtimes."""

from __future__ import annotations

from typing import Protocol

from llmtrain_api import Job

from ..types import SeenRuntime


class RuntimeSource(Protocol):
    """Knows the runtimes as they are now."""

    def of(self, job: Job, /) -> SeenRuntime | None:
        """The runtime that a job asks for; None where it asks for none."""
        ...

    def forget(self, key: tuple[str, str], /) -> None:
        """The job of that namespace and name is gone."""
        ...


class NoRuntimes:
    """Where there are none: what a job says of its runtime was seen to before."""

    def of(self, job: Job) -> SeenRuntime | None:
        """None."""

    def forget(self, key: tuple[str, str]) -> None:
        """Nothing was kept."""
