"""A checkpoint without a model: an engine that saves as DeepSpeed does, and an oracle that reads it back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from harness.builders import job
from safetensors.torch import load_file

from llmtrain_api import Layout, Place
from llmtrain_trainer import distributed
from llmtrain_trainer.checkpoint.fence import Fence, raise_fence
from llmtrain_trainer.checkpoint.manifest import StepFacts
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.checkpoint.save import STATE, Checkpointer, Votes
from llmtrain_trainer.checkpoint.snapshot import SnapshotEngine
from llmtrain_trainer.checkpoint.store import FolderCheckpointStore
from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.parallel.engine import Engine

MODEL = "mp_rank_00_model_states.pt"
OPTIMIZER = "zero_pp_rank_0_mp_rank_00_optim_states.pt"
NUMBERS = 3000


class SmallEngine:
    """One rank whose every number is the step it has done."""

    place, layout, frozen = Place(0, 0, 0, 0), Layout(), False
    module = torch.nn.Module()
    checkpoint_engine: SnapshotEngine

    def __init__(
        self, step: int = 0, numbers: int = NUMBERS, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """``meanwhile`` happens as soon as the engine begins to save."""
        self.meanwhile = meanwhile
        self.weights = torch.full((numbers,), float(step))

    @property
    def raw(self) -> SmallEngine:
        return self

    def save_checkpoint(
        self, folder: str, tag: str, save_latest: bool, exclude_frozen_parameters: bool
    ) -> None:
        """The order and the calls of DeepSpeed's own."""
        assert not save_latest
        assert not exclude_frozen_parameters
        self.meanwhile()
        state = Path(folder, tag)
        self.checkpoint_engine.makedirs(folder, exist_ok=True)
        self.checkpoint_engine.makedirs(str(state), exist_ok=True)
        self.checkpoint_engine.save({"module": {"w": self.weights}, "buffer_names": []}, str(state / MODEL))
        self.checkpoint_engine.save({"moments": self.weights * 2}, str(state / OPTIMIZER))

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield "w", self.weights

    @contextmanager
    def gathered(self, _name: str, parameter: torch.Tensor) -> Iterator[torch.Tensor]:
        yield parameter

    def whole_shape(self, _name: str, parameter: torch.Tensor) -> tuple[int, ...]:
        return tuple(parameter.shape)

    def own_part(self, _parameter: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        return whole


def as_engine(engine: SmallEngine) -> Engine:
    """It has of the product's engine what saving needs."""
    return cast(Engine, engine)


def text_of_one(ranks: Ranks, own: str) -> list[str]:
    """In place of ``distributed.all_gather_text``, which needs a process group also for one rank."""
    del ranks
    return [own]


def stand_alone() -> None:
    """Make the gang one rank without a process group."""
    distributed.all_gather_text = text_of_one


def start(root: Path, attempt: int = 0) -> Fence:
    asked = job(root / "output", attempt=attempt)
    return raise_fence(claim(asked), asked, f"pod{attempt}")


def saver(fence: Fence, keep: int = 2) -> Checkpointer:
    one = Ranks(0, 1, 0, torch.device("cpu"))
    return Checkpointer(fence, one, Layout(), {"seed": 0}, FolderCheckpointStore(fence, one, keep))


def save(files: Checkpointer, step: int, *, background: bool, whole: bool = False, numbers: int = NUMBERS,
         meanwhile: Callable[[], object] = lambda: time.sleep(0.0005)) -> str | None:  # fmt: skip
    """Save a step as the loop does, going on with ``meanwhile``; why it failed, if it did."""
    engine = SmallEngine(step, numbers)
    facts = StepFacts(step=step, consumed_samples=step)
    settled = files.start(as_engine(engine), facts, whole=whole, background=background)
    engine.weights.fill_(-1.0)  # training goes on: what is saved must be a copy
    while settled is None:
        meanwhile()
        settled = files.count(Votes(*distributed.all_reduce_sum(files.ranks, *files.votes())))
    return settled.error


def content_is_whole(folder: Path, step: int) -> bool:
    """Whether a checkpoint has the numbers of its step, by reading them; the manifest is not asked."""
    try:
        model = torch.load(folder / STATE / MODEL)["module"]["w"]
        moments = torch.load(folder / STATE / OPTIMIZER)["moments"]
        weights = folder / "weights"
        numbers = [model, moments / 2, *(load_file(f)["w"] for f in weights.glob("*.safetensors"))]
        if weights.exists() and not (
            len(numbers) == 3 and (weights / "model.safetensors.index.json").exists()
        ):
            return False
        return all(torch.equal(one, torch.full((NUMBERS,), float(step))) for one in numbers)
    except Exception:  # any way of not being readable
        return False
