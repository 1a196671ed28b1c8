"""One rank of a job that may be killed: the training loop on rows that tell which sample was read.

Each reads what it would get of a checkpoint in an object store: in the same layout files of its own, in
another one parts of all.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state
from harness.builders import job_file
from harness.layouts.rows import GLOBAL_BATCH, LENGTH, VOCAB, Row
from harness.layouts.worker import share_compiled

from llmtrain_api import IfExists, JobFile, Layout, Place, ResumeFrom, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.checkpoint.manifest import MANIFEST, StepFacts, manifest_of
from llmtrain_trainer.checkpoint.manifest import STATE as STATES
from llmtrain_trainer.checkpoint.save import Checkpointer, load
from llmtrain_trainer.checkpoint.store import FolderCheckpointStore
from llmtrain_trainer.data.loader import Batches, Pass
from llmtrain_trainer.loss import IGNORED
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.parallel.engine import Engine
from llmtrain_trainer.storage.objectstore.bucket import Bucket
from llmtrain_trainer.storage.objectstore.parts import StepParts
from llmtrain_trainer.storage.objectstore.steps import Readers
from llmtrain_trainer.storage.start_marker import read_start
from llmtrain_trainer.tasks import OURS, encoder

STEPS = 20
SAMPLES = STEPS * GLOBAL_BATCH[4]
STATE = ("fp32", "exp_avg", "exp_avg_sq")


class Recorded:
    """Training rows that note which of them were read."""

    def __init__(self) -> None:
        self.rows = np.random.default_rng(7).integers(40, VOCAB, (SAMPLES, LENGTH)).astype(np.uint16)
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: int) -> Any:
        self.read.append(at)
        return self.rows[at]


def job_of(row: Row, attempt: int, output: Path, *, weights_only: bool) -> JobFile:
    """The attempt as its ranks are told; with ``weights_only`` it is the first one of another job."""
    uid = f"{attempt if weights_only else 0}1111111-aaaa-4bbb-8ccc-000000000000"
    spec = row.spec(clipping=0.5)
    if weights_only:
        checkpoint = spec.checkpoint.model_copy(update={"resume_from": ResumeFrom.WEIGHTS})
        output_spec = spec.output.model_copy(update={"if_exists": IfExists.RESUME})
        spec = spec.model_copy(update={"checkpoint": checkpoint, "output": output_spec})
    return job_file(spec, output, attempt=attempt, uid=uid, layout=row.layout)


def rank_main(job: JobFile, until: int, dies: bool, model: Path, out: Path) -> None:
    """Train to a step, save it, and perhaps be killed in the step that follows."""
    share_compiled(out)
    ranks, start = distributed.join(), read_start(job)
    assert start is not None
    spec, layout = job.spec, job.layout
    training, place = spec.training, layout.place(ranks.rank)
    plan = BatchPlan(training.global_batch_size, training.micro_batch_size, layout.data)
    rows = Recorded()
    length = Length(len(rows), training.global_batch_size, STEPS, None)
    batches = Batches(rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
    engine, _ = build(model, spec, shape_of(spec), layout, place, plan, STEPS)
    saver = Checkpointer(
        start.fence, ranks, layout, start.fingerprints, FolderCheckpointStore(start.fence, ranks, 2)
    )
    seen: dict[str, Any] = {"place": place, "losses": {}, "rates": {}, "samples": {}}
    if start.resume:
        folder = start.output.step(start.done)
        if start.resume.as_saved(layout):
            folder = own_of(folder, out / f"own-{job.attempt}-{ranks.rank}", ranks.rank, layout)
        seen["asked"] = load(engine, folder, start.resume, parts_of(folder, out / f"parts-{job.attempt}"))
        seen["loaded"] = state_of(engine, STATE[:1] if start.resume.weights_only else STATE)
    for step in range(start.done, until + dies):
        rows.read.clear()
        passes = batches.at(step, place, ranks.device)
        [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
        seen["rates"][step] = engine.learning_rate
        own = engine.forward_backward(passes, labels)
        if step == until:
            os.kill(os.getpid(), signal.SIGKILL)
        engine.step()
        [seen["losses"][step]] = distributed.all_reduce_sum_float(ranks, float(own) / labels)
        seen["samples"][step] = counted(rows.read, passes, place)
        if step + 1 == until:
            saver.save(engine, StepFacts(step=until, consumed_samples=length.consumed(until)))
            seen["saved"] = state_of(engine)
            torch.save(seen, out / f"attempt-{job.attempt}-rank-{ranks.rank}.pt")
            distributed.barrier()
    distributed.leave()


def own_of(step: Path, node: Path, rank: int, layout: Layout) -> Path:
    """A step as a node has it that got it for one rank out of an object store."""
    for name in [MANIFEST, *Readers([rank], layout).files_of(manifest_of(step))]:
        (node / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(step / name, node / name)
    return node


def parts_of(step: Path, node: Path) -> StepParts:
    """A step as if it lay in an object store, for ranks of one node."""
    return StepParts(Bucket(str(step.parent)), step.name, node, manifest_of(step), STATES)


def counted(read: list[int], passes: list[Pass], place: Place) -> list[int]:
    """Samples that this rank read for training; spare slots, which carry no label, are not."""
    if (place.tensor, place.pipeline, place.sequence) != (0, 0, 0):
        return []  # copies of another rank's
    labelled = torch.cat([(labels != IGNORED).flatten(1).any(1) for _, labels in passes]).tolist()
    return [at for at, used in zip(read, labelled, strict=True) if used]


def state_of(engine: Engine, keys: tuple[str, ...] = STATE) -> dict[str, dict[str, torch.Tensor]]:
    """The fp32 weights and both moments as DeepSpeed's own getters tell them, whatever shards them."""
    found: dict[str, dict[str, torch.Tensor]] = {key: {} for key in keys}
    zero, optimizer = engine.layout.zero, engine.raw.optimizer
    if zero in (1, 2):
        # DeepSpeed links all groups when only the first has made its step, and never again
        optimizer._hp_optimizer_states_linked = False
        optimizer._lazy_init_hp_params_optimizer_state()
    for name, parameter in engine.named_parameters():
        for key in keys:
            if zero == 0:
                value = parameter if key == "fp32" else optimizer.state[parameter][key]
            elif key == "fp32":
                value = safe_get_full_fp32_param(parameter)
            else:
                value = safe_get_full_optimizer_state(parameter, key)
            found[key][name] = value.detach().clone()
    return found
