"""Saving a step, with an engine that only writes files: who may commit, what is replaced, what is kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from harness.trainer.launches import job

from llmtrain_api import Layout
from llmtrain_trainer.checkpoint.fence import Fence, raise_fence
from llmtrain_trainer.checkpoint.manifest import StepFacts, broken
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.errors import Fenced

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch

    from llmtrain_trainer import distributed
    from llmtrain_trainer.checkpoint.save import Checkpointer
    from llmtrain_trainer.checkpoint.snapshot import SnapshotEngine
    from llmtrain_trainer.checkpoint.store import FolderCheckpointStore
    from llmtrain_trainer.distributed import Ranks


FACTS = StepFacts(step=5, consumed_samples=40)


class Engine:
    """Writes what DeepSpeed writes, where it is told, and makes missing folders as DeepSpeed does."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile

    @property
    def raw(self) -> Engine:
        return self

    checkpoint_engine: SnapshotEngine

    def save_checkpoint(self, folder: str, tag: str, save_latest: bool) -> None:
        assert not save_latest
        self.meanwhile()
        state = Path(folder, tag)
        self.checkpoint_engine.makedirs(str(state), exist_ok=True)
        optimizer = {"state": torch.arange(8.0), "names": ["a"]}
        self.checkpoint_engine.save(optimizer, str(state / "zero_pp_rank_0_mp_rank_00_optim_states.pt"))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        distributed, "all_reduce_sum", lambda ranks, *counts: [n * ranks.world for n in counts]
    )
    monkeypatch.setattr(distributed, "all_gather_text", lambda _ranks, own: [own])


def start(root: Path, attempt: int = 0) -> Fence:
    asked = job(root / "output", attempt=attempt)
    return raise_fence(claim(asked), asked, f"pod{attempt}")


def saver(fence: Fence, keep: int = 2) -> Checkpointer:
    one = Ranks(0, 1, 0, torch.device("cpu"))
    return Checkpointer(fence, one, Layout(), {"seed": 0}, FolderCheckpointStore(fence, one, keep))


def test_a_fence_that_rises_while_an_old_writer_saves(tmp_path: Path) -> None:
    fence = start(tmp_path)
    old = saver(fence)
    with pytest.raises(Fenced):
        old.save(Engine(lambda: start(tmp_path, 1)), FACTS)
    assert fence.output.committed() == []
    assert not fence.folder.exists(), "the old writer made its folder again, and could have committed"


def test_a_step_that_is_there_is_kept_and_a_torn_one_replaced(tmp_path: Path) -> None:
    fence = start(tmp_path)
    checkpoints = saver(fence)
    assert checkpoints.save(Engine(), FACTS).written
    assert not checkpoints.save(Engine(), FACTS).written
    step = fence.output.step(5)
    (step / "state" / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_text("opt")
    assert broken(step)
    newer = start(tmp_path, 1)
    assert saver(newer).save(Engine(), FACTS).written
    assert broken(step) is None


def test_the_oldest_go(tmp_path: Path) -> None:
    fence = start(tmp_path)
    checkpoints = saver(fence, keep=2)
    for step in (5, 10, 15):
        checkpoints.save(Engine(), StepFacts(step=step))
    assert fence.output.committed() == [15, 10]
    assert not list(fence.output.checkpoints.glob(".deleted-*"))


def test_a_missing_ranks_state_is_no_checkpoint(tmp_path: Path) -> None:
    fence = start(tmp_path)
    ranks = Ranks(0, 2, 0, torch.device("cpu"))
    two = Checkpointer(fence, ranks, Layout(data=2), {}, FolderCheckpointStore(fence, ranks, 2))
    with pytest.raises(RuntimeError, match="1 of 2 ranks"):
        two.save(Engine(), FACTS)
    assert fence.output.committed() == []
