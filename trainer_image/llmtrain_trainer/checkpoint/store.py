"""Where a step goes when its ranks have written it, and where it comes from: a folder that all nodes share.

`objectstore.store` is the other kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from llmtrain_api import Layout

from ..distributed import Ranks
from ..files import discard
from .commit import commit_step, write_manifest
from .disk_errors import refusal
from .fence import Fence
from .full_weights import write_index
from .manifest import WEIGHTS, broken, newest_good


class CheckpointStore(Protocol):
    """One attempt's committed steps, as its ranks see them."""

    def has(self, step: int, *, whole: bool) -> bool:
        """Whether a step need not be written again. Asked of rank 0 only."""

    def begin(self, step: int) -> None:
        """A save begins, on all ranks."""

    def take(self, folder: Path, names: list[str]) -> None:
        """Keep what a rank has written into its node's folder of a step.

        Raises:
            OSError: it could not be kept.
        """

    def commit(self, folder: Path, facts: dict[str, Any], layout: Layout, *, whole: bool) -> None:
        """Make one step of what all ranks wrote. Rank 0 only, when all of them have ended.

        Raises:
            Fenced: a newer attempt owns the output; nothing was committed.
            OSError: it could not be kept.
        """

    def clear(self, folder: Path) -> None:
        """A save has ended, well or not, on all ranks: what was written for it may go."""

    def newest(self) -> int | None:
        """The newest step that is whole. Asked of rank 0 only."""

    def bring(self, step: int) -> Path:
        """A committed step as a folder on this rank's node. All ranks together.

        Raises:
            OSError: a node could not get it.
        """

    def refusal(self, step: int, error: OSError) -> str:
        """What to tell a person when a save fails."""


class FolderCheckpointStore:
    """Steps lie where they were written: one rename commits one."""

    def __init__(self, fence: Fence, ranks: Ranks, keep: int) -> None:
        self.fence, self.ranks, self.keep = fence, ranks, keep

    def has(self, step: int, *, whole: bool) -> bool:
        """See `CheckpointStore`. The last step must have the whole model's weights, too."""
        target = self.fence.output.step(step)
        return target.is_dir() and broken(target) is None and (not whole or (target / WEIGHTS).is_dir())

    def begin(self, step: int) -> None:
        """See `CheckpointStore`."""

    def take(self, folder: Path, names: list[str]) -> None:
        """See `CheckpointStore`. It is there already."""

    def commit(self, folder: Path, facts: dict[str, Any], layout: Layout, *, whole: bool) -> None:
        """See `CheckpointStore`."""
        if whole:
            write_index(folder / WEIGHTS, layout.pipeline)
        write_manifest(self.fence, folder, facts, layout)
        commit_step(self.fence, folder, int(facts["step"]), self.keep)

    def clear(self, folder: Path) -> None:
        """See `CheckpointStore`. What was not committed may be what fills the disk."""
        if self.ranks.first:
            discard(folder)

    def newest(self) -> int | None:
        """See `CheckpointStore`."""
        found = newest_good(self.fence.output, lambda _step, _reason: None)
        return found[0] if found else None

    def bring(self, step: int) -> Path:
        """See `CheckpointStore`."""
        return self.fence.output.step(step)

    def refusal(self, step: int, error: OSError) -> str:
        """See `CheckpointStore`."""
        return refusal(step, self.fence.output.checkpoints, error)
