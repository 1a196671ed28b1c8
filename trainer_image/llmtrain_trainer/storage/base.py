"""Where a job's output lives, as its launchers see it: a folder that all nodes share.

`objectstore.home` is the other kind.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from llmtrain_api import JobFile, Results

from ..checkpoint.fence import Fence, raise_fence
from ..checkpoint.ownership import claim
from ..checkpoint.resume import Resume, choose
from ..files import read_json, write_json
from ..output import Output
from .start_marker import Start, publish_failure, read_start

Say = Callable[[int, str], None]
"""Told the step and the reason of each torn checkpoint."""


class OutputStore(Protocol):
    """One job's output. Only node 0 claims, raises, keeps and completes.

    Attributes:
        poll: seconds between two looks for node 0's word.
    """

    poll: float

    def claim(self) -> Output:
        """Make the output this job's own; see `ownership.claim`."""

    def finished(self) -> Results | None:
        """The results of this very job, when it ran to its end before."""

    def raise_fence(self) -> Fence:
        """Make this attempt the only one that can commit; see `fence.raise_fence`."""

    def bring_data(self, fence: Fence) -> None:
        """Put data of an earlier attempt into the output's folder, if there are any."""

    def keep_data(self, fence: Fence) -> None:
        """Keep the data that are in the output's folder."""

    def choose(self, fence: Fence, fingerprints: dict[str, Any], say: Say) -> Resume | None:
        """The checkpoint to go on from, in the output's folder; see `resume.choose`."""

    def announce(self, start: Start) -> None:
        """Let all ranks of all nodes start."""

    def announce_failure(self, message: str) -> None:
        """Tell the other nodes that node 0 gave up, so that they need not wait."""

    def heard(self) -> Start | None:
        """Node 0's word, once it is there, with all that it speaks of in this node's folder.

        Raises:
            NodeZeroFailed: node 0 gave up.
        """

    def committed(self) -> list[int]:
        """Steps of all checkpoints, newest first."""

    def before_export(self, start: Start) -> None:
        """Put what the export reads into the output's folder."""

    def complete(self, start: Start, results: Results) -> None:
        """The work is done; see `Output.complete`.

        Raises:
            Fenced: a newer attempt owns the output.
        """

    def keep_logs(self) -> None:
        """Keep this node's logs. Never fails: the attempt has ended."""


class FolderOutputStore:
    """Every node sees the same folder, so most of it is there already."""

    poll = 0.2

    def __init__(self, job: JobFile) -> None:
        self.job = job
        self.output: Output | None = None

    def claim(self) -> Output:
        """See `OutputStore`."""
        self.output = claim(self.job)
        return self.output

    def finished(self) -> Results | None:
        """See `OutputStore`."""
        marker = (read_json(self.output.complete) if self.output else None) or {}
        return Results.model_validate(marker["results"]) if marker.get("jobUid") == self.job.job.uid else None

    def raise_fence(self) -> Fence:
        """See `OutputStore`."""
        assert self.output is not None, "claimed first"
        return raise_fence(self.output, self.job)

    def bring_data(self, fence: Fence) -> None:
        """See `OutputStore`."""

    def keep_data(self, fence: Fence) -> None:
        """See `OutputStore`."""

    def choose(self, fence: Fence, fingerprints: dict[str, Any], say: Say) -> Resume | None:
        """See `OutputStore`."""
        return choose(fence.output, self.job, fingerprints, say)

    def announce(self, start: Start) -> None:
        """See `OutputStore`."""
        start.publish()

    def announce_failure(self, message: str) -> None:
        """See `OutputStore`."""
        if self.output:
            publish_failure(self.output, self.job, message)

    def heard(self) -> Start | None:
        """See `OutputStore`."""
        start = read_start(self.job)
        self.output = start.output if start else self.output
        return start

    def committed(self) -> list[int]:
        """See `OutputStore`."""
        return self.output.committed() if self.output else []

    def before_export(self, start: Start) -> None:
        """See `OutputStore`."""

    def complete(self, start: Start, results: Results) -> None:
        """See `OutputStore`."""
        start.fence.check()
        write_json(start.output.complete, {**start.fence.to_json(), "results": results.to_json()})

    def keep_logs(self) -> None:
        """See `OutputStore`."""
