"""Files of another layout that are not all there, or cannot be cut: refused by name, never half read."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmtrain_api import Layout
from llmtrain_trainer.errors import ConfigError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from deepspeed.utils.tensor_fragment import fragment_address

    from llmtrain_trainer.checkpoint.save import _load_trained
    from llmtrain_trainer.checkpoint.shards import Shards
    from llmtrain_trainer.parallel.tensor import cut, join

TWO = Layout(data=2)
ROWS, WIDTH = 3, 4
WHOLE = torch.arange(ROWS * WIDTH, dtype=torch.float32)


def written(root: Path, *, moment: Any = None) -> Path:
    """Two ranks of ZeRO 1 with one matrix, each its half."""
    folder = root / "step-5" / "state"
    folder.mkdir(parents=True)
    model = {"param_shapes": [{"a.weight": torch.Size((ROWS, WIDTH))}], "global_steps": 5}
    torch.save(model, folder / "mp_rank_00_model_states.pt")
    for rank, half in enumerate(WHOLE.chunk(2)):
        moments = {"exp_avg": half * 10 if moment is None else moment, "step": torch.tensor(5.0)}
        state = {
            "base_optimizer_state": {"state": {0: moments}, "param_groups": [{"lr": 0.1}]},
            "single_partition_of_fp32_groups": [half.clone()],
            "param_slice_mappings": [{"a.weight": fragment_address(numel=half.numel(), start=0)}],
        }
        path = folder / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"
        torch.save({"optimizer_state_dict": state}, path)
    return folder


def test_halves_are_put_together_in_the_order_of_the_ranks(tmp_path: Path) -> None:
    source = Shards(written(tmp_path), TWO)
    found = source.read("a.weight", (ROWS, WIDTH))
    assert torch.equal(found["fp32"], WHOLE.view(ROWS, WIDTH))
    assert torch.equal(found["exp_avg"], 10 * WHOLE.view(ROWS, WIDTH))
    assert source.step == 5


def test_a_rank_that_is_missing_is_no_shorter_weight(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "zero_pp_rank_1_mp_rank_00_optim_states.pt").unlink()
    with pytest.raises(
        ConfigError, match=r"dp2 zero1, cannot be resumed exactly: fp32 of a.weight has 6 of 12 num"
    ):
        Shards(folder, TWO).read("a.weight", (ROWS, WIDTH))


def test_a_moment_that_is_not_one_number_a_weight_is_refused_and_weights_are_offered(tmp_path: Path) -> None:
    folder = written(tmp_path, moment=torch.zeros(ROWS))
    with pytest.raises(
        ConfigError, match=r"exp_avg is not one number a weight; .* checkpoint.resumeFrom: weights"
    ):
        Shards(folder, TWO)
    found = Shards(folder, TWO, skip_optimizer=True).read("a.weight", (ROWS, WIDTH))
    assert found.keys() == {"fp32"}


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("b.weight", (ROWS, WIDTH), "it has no b.weight"),
        ("a.weight", (WIDTH, ROWS), r"a.weight has shape \(3, 4\) instead of \(4, 3\)"),
    ],
)
def test_another_model_is_refused(tmp_path: Path, name: str, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Shards(written(tmp_path), TWO).read(name, shape)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="step-5, written as dp2 zero3, cannot be resumed exactly"):
        Shards(written(tmp_path), Layout(data=2, zero=3))


@pytest.mark.parametrize("at", [0, 1])
def test_cut_is_what_join_puts_together(at: int) -> None:
    whole = torch.arange(32).view(8, 4)
    shape = (4, 4) if at == 0 else (8, 2)
    parts = [cut(whole, shape, rank, 2) for rank in range(2)]
    assert {tuple(part.shape) for part in parts} == {shape}
    assert torch.equal(join(parts, (8, 4)), whole)
    assert torch.equal(cut(whole, (8, 4), 1, 2), whole)


def test_an_uneven_cut_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"not cut evenly over 2 ranks; choose a parallelism.tensor"):
        cut(torch.zeros(5, 4), (3, 4), 0, 2)


def test_a_checkpoint_without_what_is_trained_is_refused_and_what_is_frozen_is_not_asked_for() -> None:
    """With ZeRO 0, where the weights are in the model's file alone."""
    frozen, trained = torch.nn.Linear(2, 2).requires_grad_(False), torch.nn.Linear(2, 2)
    model = torch.nn.ModuleDict({"frozen": frozen, "trained": trained})
    engine: Any = SimpleNamespace(layout=Layout(zero=0))
    saved = {"trained.weight": torch.ones(2, 2), "trained.bias": torch.ones(2)}
    _load_trained(engine, saved, model)
    assert torch.equal(trained.weight, torch.ones(2, 2))
    with pytest.raises(ConfigError, match=r"the checkpoint lacks \['trained.bias'\]"):
        _load_trained(engine, {"trained.weight": torch.ones(2, 2)}, model)
    with pytest.raises(ConfigError, match=r"has \['other'\] beside what is trained"):
        _load_trained(engine, saved | {"other": torch.ones(2)}, model)
