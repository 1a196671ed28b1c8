"""Where a job's output lives, as its launchers see it. Two kinds: `folder` and `objectstore.output`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from llmtrain_api import JobFile, Results

from ..checkpoint.fence import Fence
from ..checkpoint.resume import Resume
from ..output import Output
from .start_marker import Start

PassOver = Callable[[int, str], None]
"""Called with the step and the reason of each torn checkpoint."""
Pause = Callable[[Sequence[int]], None]
"""Called between two looks for what other nodes have to say, with the nodes that are waited for."""


class ClaimedOutput(Protocol):
    """The output that this job owns. Only node 0 raises the fence, uploads, publishes and completes.

    Attributes:
        job: whose it is.
        output: its folder on this node.
    """

    job: JobFile
    output: Output

    def finished(self) -> Results | None:
        """The results of this very job, when it ran to its end before."""

    def raise_fence(self) -> Fence:
        """Make this attempt the only one that can commit; see `fence.raise_fence`."""

    def fetch_data(self, fence: Fence) -> None:
        """Put data of an earlier attempt into the output's folder, if there are any."""

    def upload_data(self, fence: Fence) -> None:
        """Store the data that are in the output's folder."""

    def choose(
        self, fence: Fence, fingerprints: dict[str, Any], pass_over: PassOver, pause: Pause
    ) -> Resume | None:
        """The checkpoint to go on from, what this node reads of it in the output's folder; see
        `resume.choose`. Where nodes share no folder, the others are asked for what they read of it."""

    def publish_start(self, start: Start) -> None:
        """Let all ranks of all nodes start."""

    def publish_failure(self, message: str) -> None:
        """Let the other nodes know that node 0 gave up, so that they need not wait."""

    def publish_up(self, node_rank: int, beat: int) -> None:
        """Let the other nodes know that the launcher of this node runs; ``beat`` differs each time."""

    def nodes_up(self) -> set[int]:
        """Nodes of this attempt whose launcher has published that it runs."""

    def committed(self) -> list[int]:
        """Steps of all checkpoints, newest first."""

    def before_export(self, start: Start) -> None:
        """Put what the export reads into the output's folder."""

    def complete(self, start: Start, results: Results) -> None:
        """Put on record that the work is done.

        Raises:
            Fenced: a newer attempt owns the output.
        """

    def upload_logs(self) -> None:
        """Store this node's logs. Never fails: the attempt has ended."""


@dataclass(frozen=True)
class Joined:
    """What a node other than node 0 finds once node 0 has published the start."""

    claimed: ClaimedOutput
    start: Start


class OutputStore(Protocol):
    """Where one job's output is or will be.

    Attributes:
        poll: seconds between two looks at what the other nodes published.
    """

    poll: float

    def claim(self) -> ClaimedOutput:
        """Make the output this job's own; see `ownership.claim`. Node 0 only."""

    def read_start(self, node_rank: int) -> Joined | None:
        """How the attempt starts, once node 0 has published it, with all that a node needs in its folder.

        Raises:
            NodeZeroFailed: node 0 gave up.
        """

    def heartbeat(self) -> str | None:
        """The newest beat that node 0's launcher published in this attempt; None before the first."""
