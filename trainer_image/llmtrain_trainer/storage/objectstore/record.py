"""The state of an output in an object store, and every change that it may undergo.

A change takes the newest record and gives the next one, or refuses. What makes it safe is in `Ledger`: the
next record can only be written if no other was written meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from llmtrain_api import ApiModel, IfExists, JobFile, Results, changed

from ...checkpoint.fence import Fence
from ...checkpoint.ownership import identity, may_take, taken_over
from ...errors import Fenced, OutputTaken
from ...records import OwnerRecord, StartRecord, characters

Step = Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]


class Record(ApiModel):
    """All that is known of an output.

    Attributes:
        number: of this record; 0 = nothing was written yet.
        written_by: a name of this write, to know it again.
        what: the change, for people.
        owner: the job that may write.
        attempt: the newest; -1 = none.
        holder: its rank 0's pod.
        data: prefix of the prepared data.
        steps: prefix of each committed checkpoint, by its step.
        torn: prefixes of checkpoints that were found damaged after an attempt had begun with them, and how.
        candidate: the one that node 0 would go on from, once all nodes have read their part of it.
        ready: what node 0 published for the other nodes of the attempt.
        results: of the finished job.
    """

    number: int = Field(default=0, ge=0)
    written_by: str = ""
    what: str = ""
    owner: OwnerRecord = OwnerRecord()
    attempt: int = Field(default=-1, ge=-1)
    holder: str = ""
    data: str | None = None
    steps: dict[Step, str] = Field(default_factory=dict)
    torn: dict[str, str] = Field(default_factory=dict)
    candidate: int | None = Field(default=None, ge=0)
    ready: StartRecord | None = None
    results: Results | None = None

    @property
    def committed(self) -> list[int]:
        """Steps of all checkpoints, newest first."""
        return sorted(map(int, self.steps), reverse=True)


Change = Callable[[Record], Record]
"""The next record, of the newest one."""


class Beside(Exception):
    """The output is another job's, and ``output.ifExists: new`` wants one beside it."""


def claim(job: JobFile) -> Change:
    """Make an output the job's own. See `ownership.claim`.

    The change raises:
        Beside: it is another job's and must stay so.
        ConfigError: it is another job's and ``output.ifExists`` is ``fail``.
        Fenced: another job has taken it over.
    """

    def change(now: Record) -> Record:
        if now.owner.job_uid == job.job.uid:
            return now
        if not now.owner.job_uid:
            return changed(now, what="claimed", owner=identity(job))
        if may_take(now.owner, job) is IfExists.NEW:
            raise Beside
        free = changed(now, attempt=-1, holder="", candidate=None, ready=None, results=None)
        return changed(free, what="taken over", owner=taken_over(now.owner, job))

    return change


def fence(raised: Fence) -> Change:
    """Make an attempt the only one that can change anything.

    The change raises:
        Fenced: a higher attempt, or another job, was here already.
    """

    def change(now: Record) -> Record:
        if now.owner.job_uid != raised.job_uid:
            raise OutputTaken(f"the output now belongs to job {now.owner.job_uid}")
        if now.attempt > raised.attempt:
            raise Fenced(f"attempt {now.attempt} of this job writes here already")
        begins = f"attempt {raised.attempt} begins"
        blank = changed(now, candidate=None, ready=None)
        return changed(blank, what=begins, attempt=raised.attempt, holder=raised.holder)

    return change


def check(now: Record, raised: Fence) -> None:
    """Refuse when somebody newer writes.

    Raises:
        Fenced: a higher attempt, another pod of this attempt, or another job.
    """
    newest = (now.owner.job_uid, now.attempt, now.holder)
    if newest != (raised.job_uid, raised.attempt, raised.holder):
        kind = Fenced if newest[0] in ("", raised.job_uid) else OutputTaken
        raise kind(f"attempt {now.attempt} of job {newest[0]} (pod {now.holder}) writes here now")


def by(raised: Fence, what: str, **fields: Any) -> Change:
    """A change of fields that only the newest attempt may make."""

    def change(now: Record) -> Record:
        check(now, raised)
        return changed(now, what=what, **fields)

    return change


def commit(raised: Fence, step: int, prefix: str, retired: list[int]) -> Change:
    """Add a checkpoint, and forget old ones.

    The change raises:
        Fenced: see `check`.
    """

    def change(now: Record) -> Record:
        check(now, raised)
        kept = {name: where for name, where in now.steps.items() if int(name) not in retired}
        steps = {**kept, str(step): prefix}
        torn = {where: how for where, how in now.torn.items() if where in steps.values()}
        return changed(now, what=f"step {step}", steps=steps, torn=torn)

    return change


def damaged(raised: Fence, step: int, how: str) -> Change:
    """Put on record that nobody can go on from a step.

    The change raises:
        Fenced: see `check`.
    """

    def change(now: Record) -> Record:
        check(now, raised)
        torn = {**now.torn, now.steps[str(step)]: characters(how)}
        return changed(now, what=f"step {step} is damaged", torn=torn)

    return change
