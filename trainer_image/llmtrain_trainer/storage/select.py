"""Which kind of output a job has, by its URI. What only one kind needs is imported for that kind only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmtrain_api import JobFile

from .base import Home, SharedFolder

if TYPE_CHECKING:
    from ..checkpoint.fence import Fence
    from ..checkpoint.store import Shelf
    from ..distributed import Ranks


def home_of(job: JobFile) -> Home:
    """The output as a launcher sees it."""
    if job.spec.output.in_object_store:
        from .objectstore.output import ObjectStore

        return ObjectStore(job)
    return SharedFolder(job)


def shelf_of(job: JobFile, fence: Fence, ranks: Ranks) -> Shelf:
    """A rank's checkpoints. With torch."""
    if job.spec.output.in_object_store:
        from .objectstore.checkpoints import ObjectShelf
        from .objectstore.output import ledger_of

        return ObjectShelf(ledger_of(job, fence.output), fence, ranks, job.spec.checkpoint.keep)
    from ..checkpoint import store

    return store.SharedFolder(fence, ranks, job.spec.checkpoint.keep)
