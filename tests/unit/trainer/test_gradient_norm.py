"""The norm of large flat gradients is right to fp32's last digits, however many numbers there are."""

from __future__ import annotations

import pytest
import torch

from llmtrain_trainer.parallel.gradient_norm import PIECE, norm_of


@pytest.mark.parametrize(
    "sizes",
    [[1], [PIECE - 1], [PIECE], [PIECE + 1], [3 * PIECE + 7, 5], [4_000_000]],
)
def test_it_is_that_of_one_fp64_sum(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(3)
    flats = [torch.randn(size, generator=generator) * 1e-3 for size in sizes]
    right = torch.linalg.vector_norm(torch.cat(flats).double())
    found = norm_of(flats)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(right), rel=2e-7)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", [0, PIECE, 2 * PIECE + 3])
def test_one_number_that_is_not_finite_is_seen(wrong: float, place: int) -> None:
    flat = torch.zeros(2 * PIECE + 4)
    flat[place] = wrong
    assert not norm_of([flat]).isfinite()
