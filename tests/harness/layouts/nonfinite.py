"""What a gradient that is not finite does, and a return to a checkpoint within a run, in each layout.

``python -m harness.layouts.nonfinite FOLDER`` writes FOLDER/seen.json, by layout and precision.
"""

from __future__ import annotations

import json
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.rows import STEPS, Row
from harness.layouts.worker import allow_half, first_weights, tokens, weight

from llmtrain_api import Layout, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.checkpoint.resume import Resume
from llmtrain_trainer.checkpoint.save import STATE, load
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder

POISONED = 2
"""The step whose gradient is NaN, on the last rank only."""
SAVED = 3
"""Steps done when a checkpoint is written, which is gone back to at the end."""
ROWS = (
    Row("llama", Layout(zero=0), 4),
    *(Row("llama", Layout(data=2, zero=zero), 4) for zero in (0, 1, 2, 3)),
    *(Row("llama", layout, 4) for layout in (Layout(tensor=2), Layout(pipeline=2), Layout(sequence=2))),
    *(Row("llama", Layout(data=2, zero=zero), 4, precision="bf16") for zero in (1, 2, 3)),
    Row("llama", Layout(pipeline=2), 4, precision="bf16"),
    *(Row("llama", Layout(data=2, zero=zero), 4, precision="fp16") for zero in (1, 2, 3)),
)


def poisoned_main(row: Row, model: Path, out: Path) -> None:
    """Train five steps, one of them with a NaN gradient; then the last two again from a checkpoint before."""
    ranks = distributed.join()
    spec = row.spec(clipping=0.5)
    training, layout = spec.training, row.layout
    place = layout.place(ranks.rank)
    plan = BatchPlan(training.global_batch_size, training.micro_batch_size, layout.data)
    rows = tokens()
    length = Length(len(rows), training.global_batch_size, STEPS, None)
    batches = Batches(rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
    engine, _ = build(model, spec, shape_of(spec), layout, place, plan, STEPS)
    found: dict[str, Any] = {"applied": [], "moved": [], "finite": [], "norms": []}

    def train(step: int) -> None:
        passes = batches.at(step, place, ranks.device)
        [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
        poisoned = step == POISONED and ranks.rank == ranks.world - 1
        engine.forward_backward(passes, math.nan if poisoned else labels)  # type: ignore[arg-type]
        engine.step()

    before = _weights(engine)
    for step in range(STEPS):
        if step == SAVED:
            engine.raw.save_checkpoint(str(out), tag=STATE, save_latest=False)
        train(step)
        after = _weights(engine)
        norm = engine.gradient_norm
        found["applied"].append(engine.step_applied)
        found["moved"].append(not torch.equal(after.nan_to_num(), before.nan_to_num()))
        found["finite"].append(bool(after.isfinite().all()))
        found["norms"].append(None if norm is None else norm if math.isfinite(norm) else str(norm))
        before = after
    load(engine, out, Resume(SAVED, engine.layout))
    found["back"] = not torch.equal(_weights(engine), before)
    for step in range(SAVED, STEPS):
        train(step)
    found["again"] = bool(torch.equal(_weights(engine), before))
    (out / f"rank-{ranks.rank}.json").write_text(json.dumps(found))
    distributed.leave()


def _weights(engine: Any) -> torch.Tensor:
    return torch.cat([weight(p).detach().float().flatten().clone() for _, p in engine.named_parameters()])


def main(folder: Path) -> int:
    """All rows."""
    allow_half()
    seen: dict[str, Any] = {}
    model = folder / "initial"
    spec = ROWS[0].spec(clipping=0.0)
    assert fork_each(1, partial(first_weights, spec, model), folder / "log") is None
    for number, row in enumerate(ROWS):
        out = folder / f"row-{number}"
        error = gang(row.layout.world, partial(poisoned_main, row, model, out), out)
        ranks = [out / f"rank-{rank}.json" for rank in range(row.layout.world)]
        seen[str(row)] = error or [json.loads(path.read_text()) for path in ranks]
    (folder / "seen.json").write_text(json.dumps(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
