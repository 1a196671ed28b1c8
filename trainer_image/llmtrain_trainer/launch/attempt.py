"""What one node knows of its attempt: stages read it and fill it in. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from llmtrain_api import JobFile, Results

from ..checkpoint.fence import Fence
from ..data.store import Marker
from ..storage.base import ClaimedOutput, OutputStore
from ..storage.start_marker import Start
from .gang import Presence
from .program import saved_steps
from .torchrun import Stop, run_stage
from .tracking import Trackers

T = TypeVar("T")


@dataclass
class Attempt:
    """One node's part of one attempt.

    Attributes:
        job: what is to be done.
        path: ``job.json``.
        node_rank: this node.
        store: where the job's output is.
        stop: whether SIGTERM came.
        only_prepare: whether it ends once the data are prepared: no gang is there yet, and other nodes of the
            attempt that comes must not hear of this one.
        claimed: the job's output, once it is this job's.
        fence: this attempt's right to write; node 0 only.
        data: marker of the prepared data; node 0 only.
        start: from which checkpoint, once it is published.
        presence: lets the other nodes know that this one runs.
        trackers: are told of the curves; node 0 only.
        results: of the finished job.
        told_step: the last that a program of one's own told of.
    """

    job: JobFile
    path: str
    node_rank: int
    store: OutputStore
    stop: Stop
    only_prepare: bool = False
    claimed: ClaimedOutput | None = None
    fence: Fence | None = None
    data: Marker | None = None
    start: Start | None = None
    presence: Presence | None = None
    trackers: Trackers | None = None
    results: Results | None = None
    told_step: int | None = None

    def committed(self) -> list[int]:
        """Steps of all checkpoints, newest first."""
        if self.claimed is None:
            return []
        if self.job.spec.entrypoint is not None:
            return saved_steps(self.claimed.output.program)
        return self.claimed.committed()

    def be_present(self, claimed: ClaimedOutput) -> None:
        """Let the other nodes, if there are any, know that this one runs."""
        if self.job.spec.nodes > 1 and not self.only_prepare:
            self.presence = Presence(claimed, self.node_rank)

    def run_verb(self, verb: str, more: list[str], wrote: Path | None = None) -> None:
        """Run a verb of this program in a process of its own; see `run_stage`."""
        output = required(self.claimed, "claimed").output
        log = output.logs(self.job.attempt) / f"{verb}.log"
        run_stage(verb, self.path, more, log, self.stop, [output.root, Path(self.job.scratch)], wrote)


def required(value: T | None, name: str) -> T:
    """What an earlier stage left.

    Raises:
        RuntimeError: no stage left it, which the order of the table rules out.
    """
    if value is None:
        raise RuntimeError(f"no stage before this one left `{name}`")
    return value
