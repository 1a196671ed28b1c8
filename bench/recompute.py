"""What computing activations again costs: ``python -m bench.recompute``.

One model for each way, in turns, forward and backward passes alone; what counts is the median over rounds of
the ratio of CPU time (on a GPU of wall time) within a round to that of a model that keeps all activations.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from typing import Any

import torch

from llmtrain_api import JobSpec, Recompute, parse_spec, shape_of, task_of
from llmtrain_trainer.loss import token_loss_sum
from llmtrain_trainer.models.build import HEADS, configuration
from llmtrain_trainer.parallel.recompute import recompute

WAYS: tuple[Recompute | None, ...] = (None, *Recompute)
BATCH, LENGTH, ROUNDS = 4, 256, 7


def job() -> JobSpec:
    """The model of `make bench`, with twice as many tokens a sequence."""
    sizes = {"hiddenSize": 640, "numLayers": 8, "numHeads": 10, "vocabSize": 4096}
    return parse_spec(
        {
            "model": sizes | {"name": "builtin://tiny-llama"},
            "dataset": {"name": "builtin://random-tokens"},
            "output": {"uri": "pvc://claim/run"},
            "training": {"sequenceLength": LENGTH},
            "resources": {"memory": "1Ti"},
        },
        strict=True,
    )


def model_of(spec: JobSpec, again: Recompute | None, device: str) -> Any:
    shape = shape_of(spec)
    model = HEADS[task_of(spec, shape)].from_config(configuration(shape, 0), dtype=torch.float32)
    recompute(model, again)
    return model.train().to(device)


def seconds(model: Any, ids: torch.Tensor) -> float:
    """Of one forward and backward pass."""
    clock = time.perf_counter if ids.is_cuda else time.process_time
    began = clock()
    token_loss_sum(model(input_ids=ids).logits, ids).backward()  # type: ignore[no-untyped-call]
    if ids.is_cuda:
        torch.cuda.synchronize()
    took = clock() - began
    model.zero_grad(set_to_none=True)
    return took


def main() -> int:
    warnings.simplefilter("ignore")
    spec, device = job(), "cuda" if torch.cuda.is_available() else "cpu"
    ids = torch.randint(0, spec.model.vocabulary, (BATCH, LENGTH), device=device)
    models = [model_of(spec, again, device) for again in WAYS]
    for model in models:
        seconds(model, ids)
    rounds = [[seconds(model, ids) for model in models] for _ in range(ROUNDS)]
    for at, again in enumerate(WAYS):
        ratios = sorted(one[at] / one[0] for one in rounds)
        middle, took = statistics.median(ratios), statistics.median(one[at] for one in rounds)
        print(f"{again or 'none':10} {took:7.3f} s, {middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
