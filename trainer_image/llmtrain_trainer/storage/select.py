"""Which kind of output a job has, by its URI. What only one kind needs is imported for that kind only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtrain_api import JobFile

from .base import OutputStore
from .folder import FolderOutputStore

if TYPE_CHECKING:
    from ..checkpoint.fence import Fence
    from ..checkpoint.store import CheckpointStore
    from ..distributed import Ranks


def output_store_of(job: JobFile) -> OutputStore:
    """The output as a launcher sees it."""
    if job.spec.output.in_object_store:
        from .objectstore.output import ObjectOutputStore

        return ObjectOutputStore(job)
    return FolderOutputStore(job)


def checkpoint_store_of(job: JobFile, fence: Fence, ranks: Ranks) -> CheckpointStore:
    """A rank's checkpoints. With torch."""
    how = job.spec.checkpoint
    if job.spec.output.in_object_store:
        from .objectstore.checkpoints import ObjectCheckpointStore
        from .objectstore.output import ledger_of
        from .objectstore.steps import Readers

        readers = Readers(job.ranks_of(ranks.rank // job.spec.local_world_size), job.layout)
        ledger = ledger_of(job, fence.output)
        return ObjectCheckpointStore(ledger, fence, ranks, how.keep, readers, keep_best=how.keep_best)
    from ..checkpoint import store

    return store.FolderCheckpointStore(fence, ranks, how.keep, keep_best=how.keep_best)
