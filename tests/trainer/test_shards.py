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
    from harness.saves.zero_files import written

    from llmtrain_trainer.checkpoint.ranges import Shard, Wanted, read_range
    from llmtrain_trainer.checkpoint.save import _load_trained
    from llmtrain_trainer.checkpoint.shards import Shards
    from llmtrain_trainer.parallel.tensor import cut

TWO = Layout(data=2)
ROWS, WIDTH = 3, 4
WHOLE = torch.arange(ROWS * WIDTH, dtype=torch.float32)
MATRIX = WHOLE.view(ROWS, WIDTH)


def whole(shape: tuple[int, ...]) -> Wanted:
    return Wanted(shape, shape, 0, 0, torch.Size(shape).numel())


def test_halves_are_put_together_in_the_order_of_the_ranks(tmp_path: Path) -> None:
    source = Shards(written(tmp_path, MATRIX), TWO)
    found = source.read("a.weight", whole((ROWS, WIDTH)))
    assert torch.equal(found["fp32"], WHOLE)
    assert torch.equal(found["exp_avg"], 10 * WHOLE)
    assert source.step == 5
    assert source.asked == 2 * 4 * ROWS * WIDTH


def test_a_rank_reads_its_own_numbers_and_no_others(tmp_path: Path) -> None:
    """Of three ranks of ZeRO, out of files of two."""
    source, together = Shards(written(tmp_path, MATRIX), TWO), []
    for rank in range(3):
        part = Wanted((ROWS, WIDTH), (ROWS, WIDTH), 0, 4 * rank, 4 * rank + 4)
        together.append(source.read("a.weight", part)["fp32"])
        assert source.asked == 2 * 4 * 4 * (rank + 1)
    assert torch.equal(torch.cat(together), WHOLE)
    nothing = source.read("a.weight", Wanted((ROWS, WIDTH), (ROWS, WIDTH), 0, 12, 12))
    assert [len(one) for one in nothing.values()] == [0, 0]
    assert source.asked == 2 * 4 * 12


def touched(folder: Path) -> int:
    """Bytes of a folder's files that the kernel has given this process, by its own account."""
    found, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            ours = f"{folder}/" in line
        elif ours and line.startswith("Rss:"):
            found += int(line.split()[1]) << 10
    return found


@pytest.mark.parametrize("tensor", [False, True], ids=["of ZeRO", "of a tensor-parallel group"])
def test_one_rank_of_two_touches_half_of_the_files(tmp_path: Path, tensor: bool) -> None:
    """Real pages of real files: what is not read is not mapped in, nor fetched over a network. Not so where
    columns are cut and rows are short: the kernel maps 64 KiB around what is read."""
    shape = (512, 16384)
    folder = written(tmp_path, torch.rand(shape))
    size = sum(path.stat().st_size for path in folder.iterdir())
    half = shape[0] * shape[1] // 2
    wanted = Wanted(shape, (256, 16384), 1, 0, half) if tensor else Wanted(shape, shape, 0, half, 2 * half)
    source = Shards(folder, TWO)
    assert touched(folder) <= 0.05 * size
    kept = source.read("a.weight", wanted)
    assert kept.keys() == {"fp32", "exp_avg"}
    assert 0.45 * size <= touched(folder) <= 0.55 * size
    assert 0.45 <= source.asked / source.size <= 0.55


def shards_of(matrix: torch.Tensor, at: int | None, ranks: int, pieces: int) -> list[Shard]:
    """A weight as tensor-parallel ranks save it, each in pieces of other lengths."""
    parts = [matrix] if at is None else list(matrix.tensor_split(ranks, at))
    return [Shard(tuple(part.shape), part.contiguous().flatten().tensor_split(pieces)) for part in parts]


CUTS = [None, 0, 1]


@pytest.mark.parametrize("pieces", [1, 2, 5, 7])
@pytest.mark.parametrize("there", CUTS)
@pytest.mark.parametrize("here", CUTS)
@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 3)])
def test_any_range_of_any_cut_out_of_any_other(
    shape: tuple[int, ...], here: int | None, there: int | None, pieces: int
) -> None:
    matrix = torch.arange(torch.Size(shape).numel()).view(shape)
    shards = shards_of(matrix, there, 2, pieces)
    for rank in range(2 if here is not None else 1):
        own = matrix if here is None else matrix.chunk(2, here)[rank].contiguous()
        flat, both = own.flatten(), {here, there} == {0, 1}
        for start in range(0, len(flat), 5):
            for stop in (start, start + 1, start + 4, len(flat)):
                part = Wanted(shape, tuple(own.shape), rank, start, min(stop, len(flat)))
                if both:
                    with pytest.raises(ValueError, match="one layout cuts"):
                        read_range(part, shards)
                    continue
                found, numbers = read_range(part, shards)
                assert torch.equal(found, flat[part.start : part.stop])
                ends = 2 * (torch.Size(own.shape[1:]).numel() - 1) if 1 in (here, there) else 0
                assert numbers <= part.stop - part.start + ends, "at most the ends of two rows more"


def test_shards_that_are_cut_unevenly_are_put_together() -> None:
    matrix = torch.arange(35).view(5, 7)
    for at in (0, 1):
        found, _ = read_range(whole((5, 7)), shards_of(matrix, at, 2, 3))
        assert torch.equal(found, matrix.flatten())
    with pytest.raises(ValueError, match="do not make"):
        read_range(whole((5, 7)), shards_of(matrix, 0, 2, 3)[:1])


def test_a_rank_that_is_missing_is_no_shorter_weight(tmp_path: Path) -> None:
    folder = written(tmp_path, MATRIX)
    (folder / "zero_pp_rank_1_mp_rank_00_optim_states.pt").unlink()
    with pytest.raises(
        ConfigError, match=r"dp2 zero1, cannot be resumed exactly: fp32 of a.weight has 6 of 12 num"
    ):
        Shards(folder, TWO).read("a.weight", whole((ROWS, WIDTH)))


def test_a_moment_that_is_not_one_number_a_weight_is_refused_and_weights_are_offered(tmp_path: Path) -> None:
    folder = written(tmp_path, MATRIX, moment=torch.zeros(ROWS))
    with pytest.raises(
        ConfigError, match=r"exp_avg is not one number a weight; .* checkpoint.resumeFrom: weights"
    ):
        Shards(folder, TWO)
    found = Shards(folder, TWO, skip_optimizer=True).read("a.weight", whole((ROWS, WIDTH)))
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
        Shards(written(tmp_path, MATRIX), TWO).read(name, whole(shape))


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="step-5, written as dp2 zero3, cannot be resumed exactly"):
        Shards(written(tmp_path, MATRIX), Layout(data=2, zero=3))


@pytest.mark.parametrize("at", [0, 1])
def test_a_weight_is_cut_evenly(at: int) -> None:
    matrix = torch.arange(32).view(8, 4)
    shape = (4, 4) if at == 0 else (8, 2)
    parts = [cut(matrix, shape, rank, 2) for rank in range(2)]
    assert {tuple(part.shape) for part in parts} == {shape}
    assert torch.equal(torch.cat(parts, at), matrix)
    assert torch.equal(cut(matrix, (8, 4), 1, 2), matrix)


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
