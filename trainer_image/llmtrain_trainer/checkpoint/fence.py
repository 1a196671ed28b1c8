"""The fence: no API call can stop a process, so an old writer must find that it cannot commit.

An attempt writes into its own folder ``checkpoints/.attempt-K-UID-HOLDER``, made once when its fence is
raised, and commits by one rename out of it. Raising a newer fence first moves every other attempt's folder
away. An old writer's rename then fails with ENOENT, whatever it had checked before: there is no window
between check and act. ``FENCE`` says the same in a readable form and is read again at each commit.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from llmtrain_api import JobFile
from llmtrain_api.names import ENV_HOLDER

from ..errors import Fenced, OutputTaken
from ..files import discard, fsync_folder, write_json
from ..output import Output
from ..records import FenceRecord, OwnerRecord, StartRecord, record_or_none
from .manifest import broken

FOLDER = re.compile(r"\.attempt-(\d+)-([^-]*)-(.*)")


@dataclass(frozen=True)
class Fence:
    """One attempt's right to write."""

    output: Output
    job_uid: str
    attempt: int
    holder: str

    @property
    def folder(self) -> Path:
        """Where this attempt writes before it commits. Never made again once it is gone."""
        return self.output.checkpoints / f".attempt-{self.attempt}-{short(self.job_uid)}-{short(self.holder)}"

    def check(self) -> None:
        """Stop at once when somebody newer writes here.

        Raises:
            Fenced: a higher attempt, another pod of this attempt, or another job.
        """
        owner = record_or_none(self.output.owner, OwnerRecord) or OwnerRecord()
        if owner.job_uid != self.job_uid:
            kind = OutputTaken if owner.job_uid else Fenced
            raise kind(f"{self.output.root} now belongs to job {owner.job_uid or 'nobody knows'}")
        newest = record_or_none(self.output.fence, FenceRecord) or FenceRecord()
        # a lower attempt in FENCE is a late starter that is about to find our folder and stop
        late = newest.job_uid == self.job_uid and newest.attempt < self.attempt
        if newest != self.record and not late:
            raise Fenced(
                f"attempt {newest.attempt} of job {newest.job_uid} (pod {newest.holder}) writes here now"
            )
        if not self.folder.is_dir():
            raise Fenced(f"the folder of attempt {self.attempt} was moved away by a newer writer")

    def commit(self, name: str, target: Path) -> None:
        """Move a finished folder of this attempt to its place. The rename alone decides who wins.

        Raises:
            Fenced: a newer attempt has moved our folder away.
        """
        self.check()
        try:
            (self.folder / name).rename(target)
        except FileNotFoundError:
            raise Fenced(f"{name} of attempt {self.attempt} was moved away by a newer writer") from None
        fsync_folder(target.parent)

    @property
    def record(self) -> FenceRecord:
        """``FENCE`` as it is written."""
        return FenceRecord(job_uid=self.job_uid, attempt=self.attempt, holder=self.holder)


def short(name: str) -> str:
    """The part of a UID that names of folders have."""
    return re.sub(r"[^A-Za-z0-9]", "", name)[:8]


def raise_fence(output: Output, job: JobFile, holder: str | None = None) -> Fence:
    """Make this attempt the only one that can commit. Node 0's launcher, once, before anything is written.

    Raises:
        Fenced: a higher attempt of this job was here already.
    """
    fence = Fence(output, job.job.uid, job.attempt, holder or os.environ.get(ENV_HOLDER) or uuid.uuid4().hex)
    seen = record_or_none(output.fence, FenceRecord) or FenceRecord()
    if seen.job_uid == job.job.uid and seen.attempt > job.attempt:
        raise Fenced(f"attempt {seen.attempt} of this job writes here already")
    # Own folder first, then look: of two attempts that start together at least one sees the other.
    fence.folder.mkdir(parents=True, exist_ok=True)
    write_json(output.fence, fence.record.to_json())
    for path in sorted(output.checkpoints.glob(".attempt-*")):
        if path == fence.folder:
            continue
        match = FOLDER.fullmatch(path.name)
        if match and match[2] == short(job.job.uid) and int(match[1]) > job.attempt:
            discard(fence.folder)
            raise Fenced(f"attempt {match[1]} of this job writes here already")
        _move_away(path)
    fsync_folder(output.checkpoints)
    _sweep(output, job)
    return fence


def _move_away(path: Path) -> None:
    """Rename first (it decides), then delete: a network file system may still resolve the old name for a
    while on another node, but what was deleted cannot be renamed by anybody."""
    away = path.with_name(f".fenced-{uuid.uuid4().hex}")
    try:
        path.rename(away)
    except FileNotFoundError:
        return
    shutil.rmtree(away, ignore_errors=True)


def _sweep(output: Output, job: JobFile) -> None:
    """Delete what older attempts left half done, and put back a good step that was to be replaced."""
    for path in output.checkpoints.glob(".torn-step-*"):
        target = output.checkpoints / path.name.removeprefix(".torn-").rpartition("-")[0]
        if not target.exists() and broken(path) is None:
            path.rename(target)
    for pattern in (".fenced-*", ".deleted-*", ".torn-*"):
        for path in output.checkpoints.glob(pattern):
            discard(path)
    for path in output.root.glob("attempt-*.ready"):
        said = record_or_none(path, StartRecord)
        if path != output.ready(job.attempt) or said is None or said.job_uid != job.job.uid:
            path.unlink(missing_ok=True)
