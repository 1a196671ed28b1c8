"""How often a pipeline's stages make masks and rotary positions, beside how often their blocks run.

``python -m harness.layouts.stage_calls FOLDER`` writes FOLDER/rank-N.json.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.builders import cut_as, unchecked_spec
from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.rows import FAMILIES, LENGTH, STEPS
from harness.layouts.worker import first_weights, tokens
from transformers.models.llama import modeling_llama as llama

from llmtrain_api import JobSpec, Layout, Packing, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.models import pipeline_stages
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder

LAYOUT = Layout(pipeline=2)
LAYERS, PASSES = 6, 4
"""Three blocks a stage, and more micro-batches than are under way at once."""


def spec_of(*, again: bool) -> JobSpec:
    """A job whose rows hold documents."""
    training = {"globalBatchSize": PASSES, "microBatchSize": 1, "sequenceLength": LENGTH, "maxSteps": STEPS}
    model = FAMILIES["llama"] | {"numLayers": LAYERS}
    asked = unchecked_spec(model=model, training=training | {"activationCheckpointing": again})
    return cut_as(asked, LAYOUT, packing=Packing.DOCUMENTS)


def counted(calls: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose calls are counted."""

    def call(*given: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*given, **named)

    return call


def main(folder: Path) -> None:
    """One step without and one with activation checkpointing, counted."""
    ranks = distributed.join()
    found = []
    for again in (False, True):
        spec = spec_of(again=again)
        training, place = spec.training, LAYOUT.place(ranks.rank)
        plan = BatchPlan(training.global_batch_size, training.micro_batch_size, 1)
        rows = tokens()
        length = Length(len(rows), training.global_batch_size, STEPS, None)
        batches = Batches(rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
        engine, _ = build(folder / "model", spec, shape_of(spec), LAYOUT, place, plan, STEPS)
        passes, calls = batches.at(0, place, ranks.device), Counter[str]()
        [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
        rotary, block = llama.LlamaRotaryEmbedding, llama.LlamaDecoderLayer
        masks = pipeline_stages.create_causal_mask
        with (
            patch.object(rotary, "forward", counted(calls, "rotary", rotary.forward)),
            patch.object(block, "forward", counted(calls, "blocks", block.forward)),
            patch.object(pipeline_stages, "create_causal_mask", counted(calls, "masks", masks)),
        ):
            engine.forward_backward(passes, labels)
        found.append(calls)
    (folder / f"rank-{ranks.rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    where = Path(sys.argv[1])
    assert fork_each(1, partial(first_weights, spec_of(again=False), where / "model"), where) is None
    sys.exit(gang(2, partial(main, where), where))
