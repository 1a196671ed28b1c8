"""Trains two steps in each layout and prints what the last one spent its time on, and which collective
operations of all ranks each has entered."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.rows import SAMPLES, STEPS, Row
from harness.layouts.worker import tokens

from llmtrain_api import JobSpec, Layout, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.imports import import_muon_uncompiled
from llmtrain_trainer.models.build import write_initial
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder
from llmtrain_trainer.telemetry import device
from llmtrain_trainer.telemetry.phases import Phase

LAYOUTS = {
    "zero 0": Layout(data=2, zero=0),
    "zero 1": Layout(data=2, zero=1),
    "zero 2": Layout(data=2, zero=2),
    "zero 3": Layout(data=2, zero=3),
    "tensor": Layout(tensor=2),
    "pipeline": Layout(pipeline=2),
    "sequence": Layout(sequence=2),
}


def train(row: Row, model: Path, out: Path) -> None:
    """Two steps with nothing of ours that communicates inside the lap."""
    entered: list[str] = []
    ranks = distributed.join(entered.append)
    spec = row.spec(clipping=1.0)
    place = row.layout.place(ranks.rank)
    plan = BatchPlan(spec.training.global_batch_size, spec.training.micro_batch_size, row.layout.data)
    length = Length(SAMPLES, plan.global_batch, STEPS, None)
    batches = Batches(tokens(), plan, length, 0, encoder(spec, shape_of(spec), OURS))
    engine, _ = build(model, spec, shape_of(spec), row.layout, place, plan, STEPS)
    engine.watch = device.stopwatch(ranks)
    for step in range(2):
        passes = batches.at(step, place, ranks.device)
        [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
        engine.watch.lap()
        engine.forward_backward(passes, labels)
        with engine.watch(Phase.OPTIMIZER):
            engine.step()
    lap = engine.watch.lap()
    assert "torch._inductor.compile_fx" not in sys.modules, "a rank loaded a compiler that it never uses"
    (out / f"rank-{ranks.rank}.json").write_text(json.dumps({"seconds": lap.seconds, "entered": entered}))
    distributed.leave()


def _write(spec: JobSpec, model: Path, _rank: int) -> None:
    write_initial(spec, shape_of(spec), 0, model)


def main() -> None:
    """All layouts; a JSON object: seconds by phase, and operations, of each rank by layout."""
    import_muon_uncompiled()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        for name, layout in LAYOUTS.items():
            row, model = Row("llama", layout, 4), out / "initial"
            spec = row.spec(clipping=1.0)
            error = fork_each(1, partial(_write, spec, model), out)
            error = error or gang(2, partial(train, row, model, out), out)
            if error:
                sys.exit(f"{name}: {error}")
            found[name] = [json.loads((out / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
