"""Files that the trainer's processes leave each other, with who writes and who reads each. Ground.

====================================  ===========================  ===========================================
file                                  written by                   read by
====================================  ===========================  ===========================================
``OWNER``                             node 0's launcher, first     launchers (claim, look for the folder),
                                      job there or ``resume``      every writer before it commits,
                                                                   ``llmtrain logs`` (``jobUid`` only)
``FENCE``                             node 0's launcher, once an   launchers that raise one, every writer
                                      attempt                      before it commits
``attempt-K.ready``                   node 0's launcher, when all  the other launchers, every rank, the export
                                      may start or it gave up
``COMPLETE``                          node 0's launcher, last      the launcher of a later attempt
``logs/attempt-K/rank-R.end.json``    each rank, at its end        its node's launcher: the root cause
``origin.json``                       node 0's launcher, before    the export: lineage
                                      the step that it speaks of
``evaluation.json``                   rank 0, after training       the export, which must reproduce it
``published.json``                    ``publish``, after the export  node 0's launcher; ``publish`` of a later
                                                                   attempt, which pushes nothing then
``prepare.json``, in the attempt's    ``prepare``, now and then    its launcher, which reports it
hidden folder
====================================  ===========================  ===========================================

Each is written whole or not at all (`files.write_json`). In an object store, the ledger's records hold the
first four. A checkpoint's ``manifest.json`` is described where it is written: `checkpoint.manifest`.

An output may be in a volume that others write to: what lies there is believed as far as it reads as its
model. Where the absence of a file is an answer, too, `record_or_none` takes what cannot be read as absent.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

from pydantic import Field, ValidationError

from llmtrain_api import Layout, PreparationFigures, PublishedResult, Results, TasksResult
from llmtrain_api.messages import MAX_ETA_SECONDS, Outcome
from llmtrain_api.schema.base import ApiModel

R = TypeVar("R", bound=ApiModel)

Name = Annotated[str, Field(max_length=253)]
"""A name or UID of an object of Kubernetes."""
MAX_PREVIOUS = 64
"""Earlier owners that ``OWNER`` remembers."""
LIMIT = 16 << 20
"""Bytes of a record; what is longer was not written by us."""


class OwnerRecord(ApiModel):
    """``OWNER``: the job that may write here. Without a `job_uid` it names none."""

    job_uid: Name = ""
    name: Name = ""
    namespace: Name = ""
    previous: tuple[Name, ...] = Field(
        default=(), description="Jobs that it was taken over from, oldest first: they cannot take it back."
    )


class PublishedRecord(ApiModel):
    """``published.json``: what became of a job's push to a hub."""

    job_uid: Name
    published: PublishedResult


class TasksRecord(ApiModel):
    """``tasks.json``: what became of a job's evaluation.tasks."""

    job_uid: Name
    tasks: TasksResult

    def is_done(self, job_uid: str) -> bool:
        """Whether the job has its figures, which nobody computes again."""
        return self.job_uid == job_uid and self.tasks.error is None


class FenceRecord(ApiModel):
    """``FENCE``: the newest writer. Without a `job_uid` there was none."""

    job_uid: Name = ""
    attempt: int = Field(default=-1, ge=-1)
    holder: Name = Field(default="", description="Its pod's UID.")


class ResumeRecord(ApiModel):
    """The checkpoint that an attempt goes on from."""

    step: int = Field(ge=0)
    layout: Layout
    weights_only: bool = False
    origin: str = Field(default="", description="Whose it is, where the job only began with it.")


class StartRecord(FenceRecord):
    """``attempt-K.ready``: how the attempt starts, or why it does not."""

    resume: ResumeRecord | None = None
    fingerprints: dict[str, Any] = Field(default_factory=dict)
    torn: tuple[int, ...] = Field(default=(), description="Newer steps that were passed over.")
    error: str | None = Field(default=None, description="Why node 0 gave up; nothing else counts then.")


class CompleteRecord(FenceRecord):
    """``COMPLETE``: the job's work is done, and by which attempt."""

    results: Results


class PreparationRecord(PreparationFigures):
    """How far ``prepare`` is."""

    eta_seconds: float | None = Field(default=None, ge=0, le=MAX_ETA_SECONDS)


class RankRecord(ApiModel):
    """How a rank says it ended; a rank that was killed leaves none."""

    outcome: Outcome
    time: float
    type: str = Field(default="", description="Of the exception.")
    message: str = ""
    hint: str = ""
    traceback: str = ""


class EvaluationRecord(ApiModel):
    """The trained engine's held-out loss, and what else the results say of the training."""

    step: int
    loss: float | None = Field(default=None, description="None where it is not finite.")
    tokens: int = Field(description="Labels that it is the mean of.")
    checked_sequences: int = Field(
        ge=1, description="Held-out sequences, from the first on, that the export computes again."
    )
    checked_loss: float | None = Field(default=None, description="Of those; None where it is not finite.")
    exported_step: int | None = Field(
        default=None, description="Step that all of it is about, and that is exported; None for the last."
    )
    train_loss: float | None = Field(default=None, description="Of the exported step.")
    fairness_penalty: float | None = Field(
        default=None, description="Of the exported step; None without one, or where it is not finite."
    )
    measures: dict[str, float | None] = Field(
        default_factory=dict,
        description="What else is measured, a mean; None where it is not finite.",
    )
    run_state: dict[str, Any] = Field(default_factory=dict)

    @property
    def exports(self) -> int:
        """The step that is exported."""
        return self.step if self.exported_step is None else self.exported_step


def characters(text: str) -> str:
    """A text without halves of characters, which names of files may hold and no reader of JSON accepts."""
    return text.encode(errors="replace").decode()


def read_record(path: Path, kind: type[R], limit: int | None = None) -> R | None:
    """A record, or None where there is no file.

    Args:
        path: of the file.
        kind: of record.
        limit: bytes that it may have; None for `LIMIT`.

    Raises:
        ValueError: the file is there and cannot be read as one; the path is in the text.
        OSError: the disk does not answer.
    """
    try:
        return kind.model_validate_json(_content(path, LIMIT if limit is None else limit))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path}: {where}: {first['msg']}") from None


def record_or_none(path: Path, kind: type[R], limit: int | None = None) -> R | None:
    """A record, or None where there is none that can be read; see `read_record`."""
    try:
        return read_record(path, kind, limit)
    except (OSError, ValueError):
        return None


def plain_file(path: Path) -> BinaryIO:
    """Open a plain file, never waiting for a pipe that somebody put in its place.

    Raises:
        ValueError: it is a link or no plain file; the path is in the text.
        OSError: it is not there, or the disk does not answer.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(f"{path}: is a link, and links are not followed") from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise ValueError(f"{path}: not a plain file")
    return os.fdopen(fd, "rb")


def _content(path: Path, limit: int) -> bytes:
    with plain_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"{path}: longer than {limit} bytes")
    return content
