"""Saving a step, with an engine that only writes files: who may commit, what is replaced, what is kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtrain_api import Layout
from llmtrain_trainer.checkpoint.manifest import StepFacts, broken
from llmtrain_trainer.digests import Piece
from llmtrain_trainer.errors import Fenced

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from harness.saves.small import OPTIMIZER, SmallEngine, as_engine, saver, start, text_of_one

    from llmtrain_trainer import distributed
    from llmtrain_trainer.checkpoint.save import Checkpointer
    from llmtrain_trainer.checkpoint.store import FolderCheckpointStore
    from llmtrain_trainer.distributed import Ranks
    from llmtrain_trainer.parallel.engine import Engine


FACTS = StepFacts(step=5, consumed_samples=40)


def engine(meanwhile: Callable[[], object] = lambda: None) -> Engine:
    return as_engine(SmallEngine(5, meanwhile=meanwhile))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        distributed, "all_reduce_sum", lambda ranks, *counts: [n * ranks.world for n in counts]
    )
    monkeypatch.setattr(distributed, "all_gather_text", text_of_one)


def test_a_fence_that_rises_while_an_old_writer_saves(tmp_path: Path) -> None:
    fence = start(tmp_path)
    old = saver(fence)
    with pytest.raises(Fenced):
        old.save(engine(lambda: start(tmp_path, 1)), FACTS)
    assert fence.output.committed() == []
    assert not fence.folder.exists(), "the old writer made its folder again, and could have committed"


def test_a_step_that_is_there_is_kept_and_a_torn_one_replaced(tmp_path: Path) -> None:
    fence = start(tmp_path)
    checkpoints = saver(fence)
    assert checkpoints.save(engine(), FACTS).written
    assert not checkpoints.save(engine(), FACTS).written
    step = fence.output.step(5)
    (step / "state" / OPTIMIZER).write_text("opt")
    assert broken(step)
    newer = start(tmp_path, 1)
    assert saver(newer).save(engine(), FACTS).written
    assert broken(step) is None


def test_a_step_without_the_weights_that_are_wanted_is_not_read_to_find_that_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fence = start(tmp_path)
    files = saver(fence)
    files.save(engine(), FACTS)
    read = list[Piece]()
    monkeypatch.setattr(Piece, "fault", read.append)
    assert not files.store.has(FACTS.step, whole=True)
    assert not read
    assert files.store.has(FACTS.step, whole=False)
    assert read


def test_the_oldest_go(tmp_path: Path) -> None:
    fence = start(tmp_path)
    checkpoints = saver(fence, keep=2)
    for step in (5, 10, 15):
        checkpoints.save(engine(), StepFacts(step=step))
    assert fence.output.committed() == [15, 10]
    assert not list(fence.output.checkpoints.glob(".deleted-*"))


@pytest.mark.parametrize("whole", [True, False])
def test_the_best_that_can_be_exported_stays_however_old(tmp_path: Path, whole: bool) -> None:
    fence = start(tmp_path)
    checkpoints = saver(fence, keep=2)
    checkpoints.store = FolderCheckpointStore(fence, checkpoints.ranks, 2, keep_best=True)
    for step in (5, 10, 15, 20, 25):
        best = step <= 10
        checkpoints.save(engine(), StepFacts(step=step, best=best), whole=best and whole)
    assert fence.output.committed() == [25, 20, *([10] if whole else [])]
    assert checkpoints.store.best() == (10 if whole else None)


def test_a_missing_ranks_state_is_no_checkpoint(tmp_path: Path) -> None:
    fence = start(tmp_path)
    ranks = Ranks(0, 2, 0, torch.device("cpu"))
    two = Checkpointer(fence, ranks, Layout(data=2), {}, FolderCheckpointStore(fence, ranks, 2))
    with pytest.raises(RuntimeError, match="1 of 2 ranks"):
        two.save(engine(), FACTS)
    assert fence.output.committed() == []
