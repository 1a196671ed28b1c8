"""What keeping documents of a row apart costs: ``python -m bench.documents [TOKENS OF A DOCUMENT]``.

One model for each way, in turns, forward and backward passes alone; what counts is the median over rounds of
the ratio of CPU time within a round to that of rows whose documents see each other. Memory is what autograd
saves.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from typing import Any

import torch

from llmtrain_api import JobSpec, parse_spec, shape_of, task_of
from llmtrain_trainer.loss import token_loss_sum
from llmtrain_trainer.models.build import HEADS, configuration
from llmtrain_trainer.models.document_attention import MASKED, NAME

LENGTHS, ROUNDS, DOCUMENT = (512, 1024, 2048), 7, 200
WAYS = {"they see each other": (MASKED, False), "mask": (MASKED, True), "by document": (NAME, True)}


def job(length: int) -> JobSpec:
    """A model of 13 million parameters, one row at once."""
    sizes = {"hiddenSize": 384, "numLayers": 6, "numHeads": 6, "numKvHeads": 2, "vocabSize": 4096}
    return parse_spec(
        {
            "model": sizes | {"name": "builtin://tiny-llama"},
            "dataset": {"name": "builtin://random-tokens"},
            "output": {"uri": "pvc://claim/run"},
            "training": {"sequenceLength": length},
            "resources": {"memory": "1Ti"},
        },
        strict=True,
    )


def model_of(spec: JobSpec, attention: str) -> Any:
    shape = shape_of(spec)
    model = HEADS[task_of(spec, shape)].from_config(configuration(shape, 0), dtype=torch.float32)
    model.set_attn_implementation(attention)
    return model.train()


def run(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> tuple[float, int]:
    """CPU seconds of one forward and backward pass; and bytes that were saved for the latter."""
    saved: dict[int, int] = {}

    def pack(one: torch.Tensor) -> torch.Tensor:
        saved[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    began = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        loss = token_loss_sum(model(input_ids=ids, position_ids=positions).logits, ids)
    loss.backward()  # type: ignore[no-untyped-call]
    took = time.process_time() - began
    model.zero_grad(set_to_none=True)
    own = {one.untyped_storage().data_ptr() for one in model.parameters()}
    return took, sum(size for at, size in saved.items() if at not in own)


def main() -> int:
    warnings.simplefilter("ignore")
    document = int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENT
    for length in LENGTHS:
        spec = job(length)
        ids, places = torch.randint(0, spec.model.vocabulary, (1, length)), torch.arange(length)[None]
        models = [model_of(spec, attention) for attention, _ in WAYS.values()]
        positions = [places % document if apart else places for _, apart in WAYS.values()]
        for _warm in range(2):
            sizes = [run(model, ids, where)[1] for model, where in zip(models, positions, strict=True)]
        rounds = [
            [run(model, ids, where)[0] for model, where in zip(models, positions, strict=True)]
            for _ in range(ROUNDS)
        ]
        for at, way in enumerate(WAYS):
            ratios = sorted(one[at] / one[0] for one in rounds)
            said = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            took = statistics.median(one[at] for one in rounds)
            print(f"{length:5} {way:20} {took:7.3f} s, {said}, {sizes[at] >> 20} MiB saved", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
