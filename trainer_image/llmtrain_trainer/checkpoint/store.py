"""Where a step goes when its ranks have written it, and where it comes from: a folder that all nodes share.

`storage.objectstore.checkpoints` is the other kind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from llmtrain_api import Layout

from .. import distributed
from ..distributed import Ranks
from ..files import discard
from .commit import commit_step, write_manifest
from .disk_errors import refusal
from .fence import Fence
from .manifest import STATE, WEIGHTS, Manifest, broken, newest_good
from .mapped import FolderFiles, MappedFiles


class CheckpointStore(Protocol):
    """One attempt's committed steps, as its ranks see them."""

    def has(self, step: int, *, whole: bool) -> bool:
        """Whether a step, with whole weights if asked, need not be written again. Asked of rank 0 only."""

    def begin(self, step: int) -> None:
        """A save begins, on all ranks."""

    def upload(self, folder: Path, names: list[str]) -> None:
        """Bring what a rank has written into its node's folder of a step to where steps are kept.

        Raises:
            OSError: it could not be kept.
        """

    def commit(self, folder: Path, head: Manifest, layout: Layout, *, whole: bool) -> None:
        """Make one step of what all ranks wrote. Rank 0 only, when all of them have ended.

        Args:
            folder: the step's folder on this node.
            head: the manifest without its files.
            layout: whose ranks wrote.
            whole: whether the whole model's weights are among it.

        Raises:
            Fenced: a newer attempt owns the output; nothing was committed.
            OSError: it could not be kept.
        """

    def clear(self, folder: Path) -> None:
        """A save has ended, well or not, on all ranks: what was written for it may go."""

    def newest(self) -> int | None:
        """The newest step that is whole, wherever its files are read. All ranks together."""

    def best(self) -> int | None:
        """The step with the lowest held-out loss of those that are kept with the whole weights, where that is
        whole wherever its files are read. All ranks together."""

    def kept(self) -> list[int]:
        """Steps that are kept, newest first. Asked of rank 0 only."""

    def fetch(self, step: int) -> Path:
        """A committed step as a folder on this rank's node. All ranks together.

        Raises:
            OSError: a node could not get it.
        """

    def mapped(self, step: int) -> MappedFiles:
        """The states of a step that was fetched, to be read in parts."""

    def tell_damaged(self, step: int, error: OSError) -> None:
        """A rank could not read a part of a step: where that is its files' fault, no attempt is to go on from
        it."""

    def refusal(self, step: int, error: OSError) -> str:
        """What to tell a person when a save fails."""


class FolderCheckpointStore(CheckpointStore):
    """Steps lie where they were written: one rename commits one."""

    def __init__(self, fence: Fence, ranks: Ranks, keep: int, *, keep_best: bool = False) -> None:
        self.fence, self.ranks, self.keep, self.keep_best = fence, ranks, keep, keep_best

    @override
    def has(self, step: int, *, whole: bool) -> bool:
        target = self.fence.output.step(step)
        # what needs no reading is asked first
        return target.is_dir() and (not whole or (target / WEIGHTS).is_dir()) and broken(target) is None

    @override
    def begin(self, step: int) -> None:
        pass

    @override
    def upload(self, folder: Path, names: list[str]) -> None:
        pass  # it lies there already

    @override
    def commit(self, folder: Path, head: Manifest, layout: Layout, *, whole: bool) -> None:
        del whole
        write_manifest(folder, head, layout)
        commit_step(self.fence, folder, head.step, self.keep, best=self.keep_best)

    @override
    def clear(self, folder: Path) -> None:
        if self.ranks.first:  # what was not committed may be what fills the disk
            discard(folder)

    @override
    def newest(self) -> int | None:
        return self._newest(lambda _: True)

    @override
    def best(self) -> int | None:
        return self._newest(lambda manifest: manifest.exportable_best)

    def _newest(self, wanted: Callable[[Manifest], bool]) -> int | None:
        # one rank looks, as a folder may show on one node before it shows on another
        found = newest_good(self.fence.output, lambda *_: None, wanted) if self.ranks.first else None
        [after] = distributed.all_reduce_sum(self.ranks, found[0] + 1 if found else 0)
        return after - 1 if after else None

    @override
    def kept(self) -> list[int]:
        return self.fence.output.committed()

    @override
    def fetch(self, step: int) -> Path:
        return self.fence.output.step(step)

    @override
    def mapped(self, step: int) -> MappedFiles:
        return FolderFiles(self.fence.output.step(step) / STATE)

    @override
    def tell_damaged(self, step: int, error: OSError) -> None:
        pass  # all of it was verified

    @override
    def refusal(self, step: int, error: OSError) -> str:
        output = self.fence.output
        last = next((output.step(saved) for saved in output.committed()), None)
        return refusal(step, output.checkpoints, error, last)
