"""One real rank that trains and saves: the product's engine, saves and votes, on noise for data."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import torch
from harness.builders import job
from harness.layouts.worker import tokens

from llmtrain_api import JobFile, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.checkpoint.manifest import Metrics
from llmtrain_trainer.checkpoint.resume import Resume
from llmtrain_trainer.checkpoint.save import Checkpointer, load
from llmtrain_trainer.checkpoint.store import FolderCheckpointStore
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.output import Output
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder
from llmtrain_trainer.telemetry import device
from llmtrain_trainer.telemetry.figures import Workload
from llmtrain_trainer.telemetry.sinks import Progress
from llmtrain_trainer.telemetry.startup import Startup
from llmtrain_trainer.training.checkpointing import CheckpointScheduler, SaveVotes
from llmtrain_trainer.training.run_state import RunState

STEPS, EVERY, WORLD = 1_000_000, 2, 2

for _name in (
    "deepspeed.module_inject.auto_ep_layer",
    "functorch.compile",
    "torch._dynamo.debug_utils",
    "torch._inductor.compile_fx",
    "torch.utils.cpp_extension",
    "transformers.models.llama.modeling_llama",
):
    import_module(_name)  # an engine imports them when it is built: once here instead of in each fork


def asked(root: Path, attempt: int, *, background: bool) -> JobFile:
    training = {"maxSteps": STEPS, "globalBatchSize": 8, "microBatchSize": 4, "sequenceLength": 16}
    return job(
        root / "output",
        attempt=attempt,
        training=training | {"zeroStage": 1},  # each rank writes files of its own
        checkpoint={"everySteps": EVERY, "async": background},
    )


class Train:
    """One rank of an attempt, in the order of `llmtrain_trainer.training.loop`."""

    def __init__(self, root: Path, wanted: JobFile) -> None:
        torch.set_num_threads(1)
        self.ranks = distributed.join()
        spec, layout = wanted.spec, wanted.layout
        training, self.place = spec.training, layout.place(self.ranks.rank)
        plan = BatchPlan(training.global_batch_size, training.micro_batch_size, layout.data)
        rows = tokens()
        length = Length(len(rows), training.global_batch_size, STEPS, None)
        self.batches = Batches(rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
        self.engine, _ = build(root / "initial", spec, shape_of(spec), layout, self.place, plan, STEPS)
        self.fence = Fence(Output(root / "output"), wanted.job.uid, wanted.attempt, f"pod{wanted.attempt}")
        watch = self.engine.watch = device.stopwatch(self.ranks)
        workload = Workload(length, plan, self.ranks.world, 1.0, None)
        self.progress = Progress(wanted, workload, self.ranks, root, watch, Startup())
        store = FolderCheckpointStore(self.fence, self.ranks, spec.checkpoint.keep)
        files = Checkpointer(self.fence, self.ranks, layout, {}, store)
        run_state = RunState(training)
        self.saves = CheckpointScheduler(
            files, self.engine, spec.checkpoint, length, run_state, self.progress
        )

    def run(self, resume: int | None) -> Iterator[int]:
        """Train without an end; after each step, its number."""
        done = resume or 0
        if resume:
            load(self.engine, self.fence.output.step(done), Resume(done, self.engine.layout))
            assert self.engine.raw.global_steps == done
        while True:
            passes = self.batches.at(done, self.place, self.ranks.device)
            labels, *votes = distributed.all_reduce_sum(
                self.ranks, self.engine.labels(passes), *self.saves.votes()
            )
            self.saves.collect(SaveVotes(*votes), done, Metrics())
            self.engine.forward_backward(passes, labels)
            self.engine.step()
            done += 1
            self.saves.after(done, Metrics())
            yield done
