"""How an attempt starts, published by node 0 for every launcher and rank: ``attempt-K.ready``. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmtrain_api import JobFile, Layout

from ..checkpoint.fence import Fence
from ..checkpoint.ownership import candidates
from ..checkpoint.resume import Resume
from ..files import read_json, write_json
from ..output import Output


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

    def to_json(self) -> dict[str, Any]:
        """All of it but the fence, for JSON."""
        resume = self.resume.to_json() if self.resume else None
        return {"resume": resume, "fingerprints": self.fingerprints, "torn": list(self.torn)}

    @classmethod
    def from_json(cls, fence: Fence, raw: dict[str, Any]) -> Start:
        """The start that `to_json` described."""
        resume = Resume.from_json(raw["resume"]) if raw["resume"] else None
        return cls(fence, resume, raw["fingerprints"], tuple(raw["torn"]))

    def publish(self) -> None:
        """Let the ranks start."""
        write_json(self.output.ready(self.fence.attempt), {**self.fence.to_json(), **self.to_json()})


def publish_failure(output: Output, job: JobFile, message: str) -> None:
    """Let the other nodes know that node 0 gave up, so that they need not wait."""
    write_json(output.ready(job.attempt), {"jobUid": job.job.uid, "attempt": job.attempt, "error": message})


class NodeZeroFailed(Exception):
    """Node 0 could not prepare the attempt; its own termination message has the cause."""


def read_start(job: JobFile) -> Start | None:
    """What node 0 published for this job and attempt, if it is there.

    Raises:
        NodeZeroFailed: node 0 gave up.
    """
    for output in candidates(job):
        raw = read_json(output.ready(job.attempt)) or {}
        if raw.get("jobUid") != job.job.uid or raw.get("attempt") != job.attempt:
            continue
        if "error" in raw:
            raise NodeZeroFailed(raw["error"])
        fence = Fence(output, job.job.uid, job.attempt, raw["holder"])
        return Start.from_json(fence, raw)
    return None
