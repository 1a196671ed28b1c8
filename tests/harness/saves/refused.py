"""A disk that refuses one rank of two: no rank may wait for it for ever, and both must say the same."""

from __future__ import annotations

import resource
import shutil
from functools import partial
from pathlib import Path

from harness.layouts.forked_gang import gang
from harness.saves.forked_ranks import WORLD, Train, asked

from llmtrain_api import JobFile
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.manifest import broken
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.errors import SaveFailed

LARGEST = 20_000
"""Bytes of a file that rank 1 may write: less than any state, more than its log."""


def limit(train: Train, size: int) -> None:
    """A real error of the disk (EFBIG in the middle of a file), on rank 1 only."""
    if not train.ranks.first:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def for_a_while(root: Path, wanted: JobFile) -> None:
    """One save is refused; both ranks go on, and a later one is committed."""
    train = Train(root, wanted)
    limit(train, LARGEST)
    failed = False
    for done in train.run(None):
        if train.saves.failures and not failed:
            assert train.saves.failures == 1
            failed = True
            limit(train, resource.RLIM_INFINITY)
        if failed and train.saves.newest:
            assert train.saves.failures == 0
            count = train.progress.own.registry.get_sample_value("llmtrain_train_failed_saves_total")
            assert (count is None) == bool(train.ranks.rank), "rank 0 alone speaks for the job"
            assert count is None or count >= 1
            return
        assert done < 200, "no checkpoint was committed after the disk was well again"


def for_ever(root: Path, wanted: JobFile) -> None:
    """The third refusal in a row ends every rank, with the same words."""
    train = Train(root, wanted)
    limit(train, LARGEST)
    try:
        for done in train.run(None):
            assert done < 200, "nobody gave up"
    except SaveFailed as error:
        said = str(error)
        assert said.startswith("3 checkpoints in a row failed; step "), said
        assert "could not be saved in" in said, said
        assert "File too large" in said, said
        return


def refusals(root: Path) -> None:
    """Both stories, with and without the thread. In the forking process."""
    for number, (story, background) in enumerate(((for_a_while, True), (for_ever, True), (for_ever, False))):
        wanted = asked(root, number, background=background)
        output = raise_fence(claim(wanted), wanted, f"pod{number}").output
        failed = gang(WORLD, partial(story, root, wanted), root / "ranks")
        assert failed is None, f"{story.__name__}, background={background}: {failed}"
        torn = [step for step in output.committed() if broken(output.step(step))]
        assert not torn, torn
        assert bool(output.committed()) == (story is for_a_while), output.committed()
        shutil.rmtree(output.root)
