"""What ranks really hold in memory: every tensor's storage, after a backward pass and before the update.

``python -m harness.layouts.held_memory`` prints a line of JSON per row, beside the estimate of each rank.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness.builders import cut_as, unchecked_spec
from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.rows import FAMILIES
from harness.layouts.worker import first_weights

from llmtrain_api import JobSpec, Layout, Precision, shape_of
from llmtrain_api.estimate import memory
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.data.loader import encoded
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder

LENGTH = 8
"""Short, as a pipeline keeps its last activations, which are none of what is compared."""
ADAPTED = {"llama-adapter": FAMILIES["llama"] | {"adapter": {"rank": 32}}}
PLAIN = [*(Layout(data=2, zero=zero) for zero in (1, 2, 3)), Layout(pipeline=2)]
CUT = [
    (Layout(tensor=2), "bf16"),
    (Layout(tensor=2, zero=3), "fp32"),
    (Layout(sequence=2), "fp32"),
    (Layout(sequence=2, zero=3), "bf16"),
]
ROWS: list[tuple[str, Layout, str]] = [
    ("llama", Layout(zero=0), "fp32"),
    ("llama", Layout(data=2, zero=0), "fp32"),
    *(("llama", layout, precision) for layout in PLAIN for precision in ("fp32", "bf16")),
    *(("llama", *cut) for cut in CUT),
    *(("llama-tied", layout, "fp32") for layout in (Layout(tensor=2), Layout(pipeline=2))),
    *(("qwen", layout, "fp32") for layout in (Layout(tensor=2, zero=2), Layout(sequence=2, zero=2))),
    *((family, Layout(data=2, zero=3), "fp32") for family in ("gpt2", "bert", "t5")),
    ("bert", Layout(tensor=2), "fp32"),
    ("llama-adapter", Layout(zero=0), "fp32"),
    *(("llama-adapter", Layout(data=2, zero=zero), "fp32") for zero in (0, 1, 2, 3)),
    ("llama-adapter", Layout(data=2), "bf16"),
]
"""Big enough that DeepSpeed's padding is under 2 %, small enough for seconds."""


def spec_of(family: str, cut: Layout, precision: str) -> JobSpec:
    """A job of about 1.5 million parameters, with two passes a step."""
    model = (FAMILIES | ADAPTED)[family] | {"hiddenSize": 128, "numLayers": 4, "vocabSize": 2048}
    training = {"sequenceLength": LENGTH, "globalBatchSize": 2 * cut.data, "microBatchSize": 1}
    asked = unchecked_spec(model=model, training=training | {"maxSteps": 5})
    return cut_as(asked, cut, precision=Precision(precision))


def storages() -> dict[int, int]:
    """Bytes of every live storage by its address; views and flat buffers count once."""
    gc.collect()
    found: dict[int, int] = {}
    left = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    while left:
        one = left.pop()
        if one.device.type == "meta":
            continue
        found[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        if one.is_leaf and one.grad is not None:
            left.append(one.grad)  # held by C++ alone, so that Python's collector may not know it
    return found


def rank_main(family: str, cut: Layout, precision: str, model: Path, out: Path) -> None:
    """Two steps without the second update; then count."""
    torch.set_num_threads(1)
    ranks = distributed.join()
    spec = spec_of(family, cut, precision)
    place = cut.place(ranks.rank)
    plan = BatchPlan(spec.training.global_batch_size, spec.training.micro_batch_size, cut.data)
    before = storages()
    engine, _ = build(model, spec, shape_of(spec), cut, place, plan, 5)
    rows = np.random.default_rng(0).integers(40, 2000, (2, LENGTH)).astype(np.uint16)
    for step in range(2):
        if step:
            engine.step()
        passes = [
            encoded(rows, [n], [n], [False], encoder(spec, shape_of(spec), OURS), ranks.device)
            for n in range(2)
        ]
        engine.forward_backward(passes, LENGTH * plan.global_batch)
    del passes
    now = {at: size for at, size in storages().items() if before.get(at) != size}
    expected = memory.of_stage(shape_of(spec), spec, cut, place.pipeline)
    said: dict[str, Any] = {"row": f"{family} {cut} {precision}", "rank": ranks.rank}
    said |= {"held": sum(now.values()), "estimate": expected.held}
    (out / f"held-{ranks.rank}.json").write_text(json.dumps(said))
    distributed.leave()


def main() -> int:
    """All rows, or those with a word."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", metavar="WORD", default="", help="only rows with that word")
    word = parser.parse_args().k
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            if word not in "{} {} {}".format(*row):
                continue
            model, out = Path(folder) / row[0], Path(folder) / "out"
            if not model.exists():
                spec = spec_of(row[0], Layout(zero=0), "fp32")
                failed = fork_each(1, partial(first_weights, spec, model), out)
                assert failed is None, failed
            failed = gang(row[1].world, partial(rank_main, *row, model, out), out)
            if failed is not None:
                print(json.dumps({"row": "{} {} {}".format(*row), "error": failed}), flush=True)
                continue
            for rank in range(row[1].world):
                print((out / f"held-{rank}.json").read_text(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
