"""The loss in chunks is the plain one, and holds no second copy of the logits."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from llmtrain_trainer import loss

VOCAB = 31


def plain(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(logits.flatten(0, 1).to(wide), labels.flatten(), reduction="sum")


def problem(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, 7, VOCAB, generator=generator, dtype=torch.float64).to(dtype) * 4
    labels = torch.randint(0, VOCAB, (3, 7), generator=generator)
    labels[0, :3] = labels[2] = loss.IGNORED  # one chunk of nothing but ignored ones
    return logits.requires_grad_(), labels


@pytest.mark.parametrize("rows", [1, 4, 7, 21, 1000])
def test_value_and_gradient_are_the_plain_ones(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss, "CHUNK", rows * VOCAB)
    for dtype, limit in ((torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 2**-8)):
        logits, labels = problem(dtype)
        want = plain(logits, labels)
        [right] = torch.autograd.grad(want * 0.37, logits)
        found = loss.token_loss_sum(logits, labels)
        [mine] = torch.autograd.grad(found * 0.37, logits)
        assert found.dtype == torch.promote_types(dtype, torch.float32)
        assert mine.dtype == dtype
        assert abs(float((found - want).detach())) <= limit * float(want.detach())
        assert float((mine - right).norm()) <= limit * float(right.norm())
        assert not mine[labels == loss.IGNORED].any()


def test_no_labels_are_a_loss_and_a_gradient_of_nothing() -> None:
    logits, labels = problem(torch.float32)
    found = loss.token_loss_sum(logits, torch.full_like(labels, loss.IGNORED))
    [gradient] = torch.autograd.grad(found, logits)
    assert float(found.detach()) == 0
    assert not gradient.any()


MEASURE = """
import json, os, torch
import torch.nn.functional as F
from llmtrain_trainer import loss

def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) * 1024

def plain(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="sum")

torch.set_num_threads(1)
logits = torch.zeros(4, 256, 32000, dtype=torch.bfloat16).uniform_().requires_grad_()
labels = torch.arange(1024).reshape(4, 256)
loss.CHUNK = 32 * 32000
small = torch.zeros(1, 32, 320, dtype=torch.bfloat16, requires_grad=True)
for which in (loss.token_loss_sum, plain):
    if os.fork():  # a peak is a whole process's
        assert os.wait()[1] == 0
        continue
    which(small, labels[:1, :32]).backward()
    before = peak()
    which(logits, labels).backward()
    print((peak() - before) / (logits.numel() * 2), flush=True)
    os._exit(0)
"""


def test_memory_beside_the_logits_is_about_their_gradient() -> None:
    """Peaks of both passes beyond the bf16 logits, as multiples of them."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    command = [sys.executable, "-c", MEASURE]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    chunked, whole = map(float, done.stdout.split())
    print(f"peak beside the logits, as a multiple of them: chunked {chunked:.2f}, plain {whole:.2f}")
    assert chunked < 1.6
    assert whole > 3 * chunked
