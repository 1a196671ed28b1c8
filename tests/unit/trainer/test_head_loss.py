"""The loss of an output layer without whole logits is the plain one's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from llmtrain_api.estimate.activations import head_loss_bytes, loss_bytes
from llmtrain_trainer import loss
from llmtrain_trainer.loss import IGNORED, token_loss_sum
from llmtrain_trainer.parallel.head_loss import head_loss_sum

BATCH, LENGTH, WIDTH, VOCABULARY = 2, 11, 16, 40


def _layer(dtype: torch.dtype, *, bias: bool = False, frozen: bool = False) -> tuple[Any, Any, Any]:
    """Hidden states, weight, and a bias or None."""
    torch.manual_seed(3)
    hidden = torch.randn(BATCH, LENGTH, WIDTH, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, dtype=dtype, requires_grad=not frozen)
    return hidden, weight, torch.randn(VOCABULARY, dtype=dtype, requires_grad=not frozen) if bias else None


def _labels() -> torch.Tensor:
    torch.manual_seed(4)
    labels = torch.randint(0, VOCABULARY, (BATCH, LENGTH))
    labels[0, 3:6] = IGNORED
    return labels


@pytest.mark.parametrize("rows", [1, 4, 22, 1000])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_loss_and_gradients_are_those_of_whole_logits(
    rows: int, bias: bool, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss, "CHUNK", rows * VOCABULARY)
    found = []
    for whole in (True, False):
        given = _layer(torch.float64, bias=bias, frozen=frozen)
        total = token_loss_sum(F.linear(*given), _labels()) if whole else head_loss_sum(*given, _labels())
        (total * 0.37).backward()
        found.append([total.detach(), *(one.grad for one in given if one is not None)])
    assert (found[0][2] is None) is frozen
    for right, ours in zip(*found, strict=True):
        assert (right is None) is (ours is None)
        if right is not None:
            torch.testing.assert_close(ours, right, rtol=1e-12, atol=1e-12)


def test_without_labels_the_loss_is_0_and_without_gradients_nothing_is_kept() -> None:
    hidden, weight, _ = _layer(torch.float32)
    total = head_loss_sum(hidden, weight, None, torch.full((BATCH, LENGTH), IGNORED))
    total.backward()
    assert total == 0
    assert not hidden.grad.any()
    assert not weight.grad.any()
    with torch.no_grad():
        assert not head_loss_sum(hidden, weight, None, _labels()).requires_grad


def test_gradients_are_there_for_one_backward_pass() -> None:
    """They are scaled in place: a second time they would be scaled twice."""
    total = head_loss_sum(*_layer(torch.float32), _labels())
    total.backward(retain_graph=True)
    with pytest.raises(TypeError):
        total.backward()


def test_in_bf16_a_sum_over_many_chunks_is_as_good_as_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK", 4 * VOCABULARY)
    torch.manual_seed(5)
    hidden, weight = torch.randn(1, 800, WIDTH).bfloat16(), torch.randn(VOCABULARY, WIDTH).bfloat16()
    labels = torch.randint(0, VOCABULARY, (1, 800))

    def gradient(dtype: torch.dtype, *, whole: bool) -> torch.Tensor:
        own = weight.detach().to(dtype).requires_grad_()
        if whole:
            token_loss_sum(F.linear(hidden.to(dtype), own), labels).backward()
        else:
            head_loss_sum(hidden.to(dtype), own, None, labels).backward()
        assert own.grad is not None
        return own.grad.double()

    exact = gradient(torch.float64, whole=True)
    once, often = (gradient(torch.bfloat16, whole=whole) - exact for whole in (True, False))
    assert often.norm() <= 1.5 * once.norm()


@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4)])
@pytest.mark.parametrize("frozen", [False, True])
def test_at_a_large_vocabulary_it_holds_what_the_estimate_says(
    dtype: torch.dtype, size: int, frozen: bool
) -> None:
    """By allocations seen: the most that is there at once, and far less than whole logits need."""
    tokens, vocabulary, width = 640, 128_256, 64
    hidden = torch.zeros(1, tokens, width, dtype=dtype, requires_grad=True)
    weight = torch.zeros(vocabulary, width, dtype=dtype, requires_grad=not frozen)
    labels = torch.arange(tokens)[None]
    with torch.profiler.profile(profile_memory=True) as seen:
        head_loss_sum(hidden, weight, None, labels).backward()
    held = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    said = head_loss_bytes(tokens, vocabulary, width, size, trained=not frozen)
    assert said == pytest.approx(most, rel=0.1)
    assert said < loss_bytes(tokens * vocabulary, size)
