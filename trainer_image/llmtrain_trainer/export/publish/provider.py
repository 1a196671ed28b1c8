"""What pushes an export to one kind of place, as seen by what tries it and puts it on record."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from llmtrain_api import PublishedResult
from llmtrain_api.schema.publish import PublishSpec


class Refused(NamedTuple):
    """Why a push has failed.

    Attributes:
        words: what happened, without a word of a secret.
        for_good: whether another try would change nothing.
        fix: what helps.
    """

    words: str
    for_good: bool
    fix: str


class Provider(Protocol):
    """One export and the place where it goes."""

    @property
    def asked(self) -> PublishSpec:
        """The place, as the job has it."""

    @property
    def target(self) -> str:
        """The place, as a person wrote it."""

    def push(self) -> PublishedResult:
        """Push it, or find what an earlier try has made without hearing of it. May raise anything."""

    def refused(self, error: Exception) -> Refused:
        """What an error of `push` means."""


def failed(asked: PublishSpec, error: str) -> PublishedResult:
    """What is told of a push that did not succeed, wherever it was to go.

    Args:
        asked: where that was.
        error: why, and what helps.
    """
    model = asked.mlflow.model if asked.mlflow else None
    place = {"hub": asked.hub, "oci": asked.oci, "mlflow": model}
    return PublishedResult(**place, revision=asked.version, error=error[:512])
