"""When the loop saves and what it does about a disk that refuses: real saves of a small engine."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness.quota import files_up_to

from llmtrain_api import CheckpointSpec, TrainingSpec
from llmtrain_trainer.batch import Length
from llmtrain_trainer.checkpoint.interval import Interval
from llmtrain_trainer.checkpoint.manifest import Metrics
from llmtrain_trainer.errors import SaveFailed
from llmtrain_trainer.training.run_state import RunState

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from harness.saves.small import SmallEngine, content_is_whole, saver, start, text_of_one

    from llmtrain_trainer import distributed
    from llmtrain_trainer.checkpoint.host_memory import HostMemory
    from llmtrain_trainer.checkpoint.snapshot import snapshot
    from llmtrain_trainer.training.checkpointing import CheckpointScheduler

NEVER = 10_000


class Told:
    """What the loop says about its saves."""

    def __init__(self) -> None:
        self.committed_steps: list[int] = []
        self.failed: list[str] = []

    def committed(self, step: int, seconds: float, *, written: bool, kept: list[int]) -> None:
        assert seconds >= 0
        assert written
        assert kept[0] == step
        self.committed_steps.append(step)

    def save_failed(self, step: int, error: str, failures: int) -> None:
        assert f"step {step} " in error
        assert failures >= 1
        self.failed.append(error)

    def stalled(self, seconds: float) -> None:
        assert seconds >= 0


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "all_gather_text", text_of_one)


@pytest.fixture(params=[False, True], ids=["in the loop", "beside it"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., CheckpointScheduler]:
    def made(**spec: Any) -> CheckpointScheduler:
        asked = CheckpointSpec.model_validate({"everySteps": NEVER, "async": request.param} | spec)
        files = saver(start(tmp_path), keep=100)
        length, run_state = Length(4096, 8, 1000, None), RunState(TrainingSpec())
        return CheckpointScheduler(files, SmallEngine(), asked, length, run_state, Told())  # type: ignore[arg-type]

    return made


def steps(saves: CheckpointScheduler, first: int, last: int) -> None:
    """What the loop does of it."""
    for step in range(first, last + 1):
        saves.collect(saves.votes(), step - 1, Metrics())
        saves.engine.weights.fill_(float(step))  # type: ignore[attr-defined]
        saves.after(step, Metrics())


def committed(saves: CheckpointScheduler) -> list[int]:
    output = saves.files.fence.output
    there = sorted(output.committed())
    assert all(content_is_whole(output.step(step), step) for step in there)
    assert saves.progress.committed_steps == there  # type: ignore[attr-defined]
    return there


def test_every_step_that_is_due_is_saved_as_it_was(make: Callable[..., CheckpointScheduler]) -> None:
    """A new save waits for the one before, and training goes on over a copy."""
    saves = make(everySteps=3)
    steps(saves, 1, 10)
    assert saves.before_stopping(10, Metrics()) == "saved at step 10"
    assert committed(saves) == [3, 6, 9, 10]


def test_a_step_that_was_just_saved_is_not_saved_again(make: Callable[..., CheckpointScheduler]) -> None:
    saves = make(everySteps=5, everyMinutes=1e-9)
    steps(saves, 1, 5)
    assert saves.before_stopping(5, Metrics()) == "saved at step 5"
    assert committed(saves) == [0, 1, 2, 3, 4, 5]


def test_by_time(make: Callable[..., CheckpointScheduler]) -> None:
    saves = make(everyMinutes=1000)
    steps(saves, 1, 3)
    saves.interval.since -= 59_999
    steps(saves, 4, 6)
    assert committed(saves) == []
    saves.interval.since -= 2
    steps(saves, 7, 20)
    saves.before_stopping(20, Metrics())
    assert committed(saves) == [6, 20]


def test_an_interval_begins_anew_with_each_save() -> None:
    interval = Interval(2, since=100)
    assert not interval.due(219)
    assert interval.due(220)
    assert not Interval(None, since=0).due(1e9)


def test_two_refusals_are_borne_and_a_success_forgives_them(make: Callable[..., CheckpointScheduler]) -> None:
    saves = make(everySteps=1)
    for first in (1, 11):
        with files_up_to(6000):
            steps(saves, first, first + 1)
            saves._settle(saves.files.finish())  # the second one may still be under way
        steps(saves, first + 2, first + 4)
        saves._settle(saves.files.finish())
    saves.before_stopping(15, Metrics())
    assert len(saves.progress.failed) == 4  # type: ignore[attr-defined]
    assert committed(saves) == [3, 4, 5, 13, 14, 15]


def test_the_third_refusal_in_a_row_ends_the_attempt(make: Callable[..., CheckpointScheduler]) -> None:
    saves = make(everySteps=1)
    refused = r"3 checkpoints in a row failed; step 3 could not be saved in .*free space"
    with files_up_to(6000), pytest.raises(SaveFailed, match=refused):
        steps(saves, 1, 10)
    assert committed(saves) == []


def test_stopping_on_a_full_disk_says_what_is_kept(make: Callable[..., CheckpointScheduler]) -> None:
    saves = make(everySteps=2)
    steps(saves, 1, 3)
    saves._settle(saves.files.finish())
    with files_up_to(6000):
        said = saves.before_stopping(3, Metrics())
    assert said.startswith("step 3 could not be saved in")
    assert said.endswith("; saved at step 2")


def test_the_end_that_cannot_be_saved_is_a_failure(make: Callable[..., CheckpointScheduler]) -> None:
    saves = make()
    steps(saves, 1, 3)
    with files_up_to(6000), pytest.raises(SaveFailed, match="step 3 could not be saved"):
        saves.last(3, Metrics())


def test_a_snapshot_is_a_copy_in_which_tied_weights_stay_one() -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    values = {"embedding": weight, "head": weight.detach(), "part": weight[0], "none": weight[:0]}
    copied = snapshot(values, HostMemory())
    weight.zero_()
    assert torch.equal(copied["embedding"], torch.arange(12.0).reshape(3, 4))
    assert copied["head"].data_ptr() == copied["embedding"].data_ptr()
    assert copied["part"].data_ptr() != copied["embedding"].data_ptr()
    assert copied["part"].tolist() == [0, 1, 2, 3]
