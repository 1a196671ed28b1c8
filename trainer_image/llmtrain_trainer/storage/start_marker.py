"""How an attempt starts, published by node 0 for every launcher and rank: ``attempt-K.ready``. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmtrain_api import JobFile, Layout

from ..checkpoint.fence import Fence
from ..checkpoint.ownership import candidates
from ..checkpoint.resume import Resume
from ..files import write_json
from ..output import Output
from ..records import StartRecord, characters, record_or_none


@dataclass(frozen=True)
class Start:
    """How an attempt starts, the same for all its ranks.

    Attributes:
        fence: the attempt's right to write.
        resume: the checkpoint to load, and how; None = the step-0 model.
        fingerprints: of data, tokenizer, model and batch.
        torn: newer checkpoints, passed over as they were torn.
    """

    fence: Fence
    resume: Resume | None
    fingerprints: dict[str, Any]
    torn: tuple[int, ...] = ()

    @property
    def output(self) -> Output:
        """The folder that this job owns."""
        return self.fence.output

    @property
    def done(self) -> int:
        """Optimizer steps done when it starts."""
        return self.resume.step if self.resume else 0

    def note(self, layout: Layout) -> str:
        """What is not usual about the start, for people; empty when nothing is."""
        notes = [self.resume.note(layout)] if self.resume else []
        if self.torn:
            steps = ", ".join(str(step) for step in self.torn)
            none = "" if self.resume else ", and there is no other: training begins anew"
            notes.append(f"passed over the torn checkpoint of step {steps}{none}")
        return "; ".join(text for text in notes if text)

    @property
    def record(self) -> StartRecord:
        """``attempt-K.ready`` as it is written."""
        return StartRecord(
            **dict(self.fence.record),
            resume=self.resume.record if self.resume else None,
            fingerprints=self.fingerprints,
            torn=self.torn,
        )

    @classmethod
    def of(cls, fence: Fence, record: StartRecord) -> Start:
        """The start that `record` described, with this node's own fence.

        Raises:
            NodeZeroFailed: node 0 gave up.
        """
        if record.error is not None:
            raise NodeZeroFailed(record.error)
        resume = Resume.of(record.resume) if record.resume else None
        return cls(fence, resume, record.fingerprints, record.torn)

    def publish(self) -> None:
        """Let the ranks start."""
        write_json(self.output.ready(self.fence.attempt), self.record.to_json())


def failure(job: JobFile, message: str) -> StartRecord:
    """What lets the other nodes know that node 0 gave up."""
    return StartRecord(job_uid=job.job.uid, attempt=job.attempt, error=characters(message))


def publish_failure(output: Output, job: JobFile, message: str) -> None:
    """Let the other nodes know that node 0 gave up, so that they need not wait."""
    write_json(output.ready(job.attempt), failure(job, message).to_json())


class NodeZeroFailed(Exception):
    """Node 0 could not prepare the attempt; its own termination message has the cause."""


def read_start(job: JobFile) -> Start | None:
    """What node 0 published for this job and attempt, if it is there.

    Raises:
        NodeZeroFailed: node 0 gave up.
    """
    for output in candidates(job):
        said = record_or_none(output.ready(job.attempt), StartRecord)
        if said is not None and (said.job_uid, said.attempt) == (job.job.uid, job.attempt):
            return Start.of(Fence(output, job.job.uid, job.attempt, said.holder), said)
    return None
