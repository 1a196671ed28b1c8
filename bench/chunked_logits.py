"""What an output layer and its loss cost with whole logits and without: ``python -m bench.chunked_logits``.

Forward and backward passes of the layer alone, in turns; what counts is the median over rounds of the ratio
of CPU time (on a GPU of wall time) within a round.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
import torch.nn.functional as F

from llmtrain_trainer.loss import token_loss_sum
from llmtrain_trainer.parallel.head_loss import head_loss_sum

WIDTH, ROUNDS = 640, 5
SIZES = ((512, 4_096), (1_024, 32_000))
"""Tokens and vocabulary: those of `make bench`, and a vocabulary as large as Llama 2's, in chunks."""


def seconds(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, *, whole: bool) -> float:
    """Of one forward and backward pass."""
    clock = time.perf_counter if hidden.is_cuda else time.process_time
    began = clock()
    if whole:
        loss = token_loss_sum(F.linear(hidden, weight), labels)
    else:
        loss = head_loss_sum(hidden, weight, None, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    if hidden.is_cuda:
        torch.cuda.synchronize()
    took = clock() - began
    hidden.grad = weight.grad = None
    return took


def main() -> int:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for tokens, vocabulary in SIZES:
        hidden = torch.randn(1, tokens, WIDTH, device=device, requires_grad=True)
        weight = torch.randn(vocabulary, WIDTH, device=device, requires_grad=True)
        labels = torch.randint(0, vocabulary, (1, tokens), device=device)
        ways = (True, False)
        for whole in ways:
            seconds(hidden, weight, labels, whole=whole)
        rounds = [[seconds(hidden, weight, labels, whole=whole) for whole in ways] for _ in range(ROUNDS)]
        ratios = sorted(chunked / whole for whole, chunked in rounds)
        took = statistics.median(whole for whole, _ in rounds)
        print(
            f"{tokens:,} tokens, vocabulary {vocabulary:,}: whole {took:.3f} s, chunked "
            f"{statistics.median(ratios):.2f} of that ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
