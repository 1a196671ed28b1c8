"""Where jobs are: what `Client` needs of a cluster, or of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from llmtrain_api import Job

from .values import Event, LogLine, LogRequest, Object


class Backend(Protocol):
    """Every call raises a `LlmtrainError`.

    Attributes:
        namespace: the one that is meant where none is given.
    """

    @property
    def namespace(self) -> str:
        """The namespace that is meant where none is given."""
        ...

    def create(self, document: Object, *, dry_run: bool = False) -> Object:
        """Create a job; the object as it was taken in."""
        ...

    def create_sweep(self, document: Object, *, dry_run: bool = False) -> Object:
        """Create a sweep; the object as it was taken in."""
        ...

    def sweep(self, namespace: str, name: str) -> Object:
        """Read one sweep."""
        ...

    def get(self, namespace: str, name: str) -> Object:
        """Read one job."""
        ...

    def jobs(self, namespace: str | None) -> list[Object]:
        """The jobs of a namespace; None: of all of them."""
        ...

    def patch(self, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch; the object as it then is."""
        ...

    def delete(self, namespace: str, name: str) -> None:
        """Delete a job and all that belongs to it, but for its output."""
        ...

    def watch(self, namespace: str, name: str, seconds: float) -> Iterator[Object]:
        """The object now and after each change, for so long at most."""
        ...

    def events(self, job: Job) -> list[Event]:
        """What happened to it and to its pods, oldest first."""
        ...

    def logs(self, job: Job, request: LogRequest) -> Iterator[LogLine]:
        """Lines of a log."""
        ...

    def metrics(self, job: Job) -> list[Object]:
        """Rows of ``metrics.jsonl`` of all attempts, a row a step."""
        ...

    def lacking(self, job: Job) -> list[str]:
        """What its namespace has not, and the job would wait for: a sentence for each thing."""
        ...

    def presets(self, namespace: str) -> list[Object]:
        """What the platform team offers as a basis of jobs of a namespace."""
        ...
