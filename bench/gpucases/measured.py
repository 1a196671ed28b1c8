"""Training loops whose steps are timed: the trainer's own engine, and a loop as one writes it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from harness.layouts.worker import EOS
from harness.ports import free_port

from llmtrain_api import JobSpec, Packing, Precision, layout_of, parse_spec, shape_of, task_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.feed import Feed
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.models import document_attention
from llmtrain_trainer.models.build import HEADS, configuration
from llmtrain_trainer.optim.optimizer import adamw, parameter_groups
from llmtrain_trainer.parallel import apply
from llmtrain_trainer.parallel.compiled import compile_layers
from llmtrain_trainer.parallel.engine import Engine
from llmtrain_trainer.tasks import OURS, encoder
from llmtrain_trainer.telemetry import device

from .runner import alone, wait

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"hiddenSize": 64, "numLayers": 2, "numHeads": 4, "vocabSize": 512},
    "small": {"hiddenSize": 256, "numLayers": 2, "numHeads": 4, "numKvHeads": 2, "vocabSize": 512},
    "400M": {
        "hiddenSize": 1024,
        "numLayers": 24,
        "numHeads": 16,
        "numKvHeads": 8,
        "intermediateSize": 4096,
        "vocabSize": 32768,
    },
    "1B": {
        "hiddenSize": 2048,
        "numLayers": 16,
        "numHeads": 32,
        "numKvHeads": 8,
        "intermediateSize": 8192,
        "vocabSize": 128256,
        "tiedEmbeddings": True,
    },
    "3B": {
        "hiddenSize": 3072,
        "numLayers": 28,
        "numHeads": 24,
        "numKvHeads": 8,
        "intermediateSize": 8192,
        "vocabSize": 128256,
        "tiedEmbeddings": True,
    },
}
"""Llama 3.2's sizes from 1B on."""
STEPS = 1_000_000
DOCUMENT = 400
"""Tokens of a document, on the average."""


def job(size: str, *, micro: int, length: int, **training: Any) -> JobSpec:
    """One GPU, bf16, one micro-batch a step; what memory would forbid is not forbidden."""
    usual = {"precision": "bf16", "zeroStage": 1, "maxSteps": STEPS, "sequenceLength": length}
    batch = {"globalBatchSize": micro, "microBatchSize": micro}
    return parse_spec(
        {
            "model": {"name": "builtin://tiny-llama", **SIZES[size]},
            "dataset": {"name": "builtin://random-tokens"},
            "output": {"uri": "pvc://claim/run"},
            "gpusPerNode": 1,
            "resources": {"memory": "100Gi"},
            "training": usual | batch | training,
        },
        strict=True,
    )


def on_device(spec: JobSpec, ranks: Ranks) -> Any:
    """A model of random weights, made where it is trained: no file of gigabytes is written for it."""
    torch.manual_seed(0)
    with ranks.device:
        return HEADS[task_of(spec, shape_of(spec))].from_config(
            configuration(shape_of(spec), EOS), dtype=torch.float32
        )


def rows_of(spec: JobSpec) -> np.ndarray[Any, Any]:
    """[samples, length] random tokens; where documents are kept apart, with ends of documents among them."""
    generator, length = np.random.default_rng(7), spec.training.sequence_length
    ids = generator.integers(40, spec.model.vocabulary, (64, length))
    if spec.training.packing is Packing.DOCUMENTS:
        ids[generator.random(ids.shape) < 1 / min(DOCUMENT, length // 4)] = EOS
    return ids.astype(np.uint32)


@dataclass
class Ours:
    """The trainer's engine and what a step of its loop needs."""

    spec: JobSpec
    ranks: Ranks
    engine: Engine
    feed: Feed
    done: int = 0
    losses: list[float] = field(default_factory=list)

    def forward_backward(self) -> tuple[torch.Tensor, int]:
        """Gradients of the next batch, and its labels."""
        passes = self.feed.take(self.done)
        [labels] = distributed.all_reduce_sum(self.ranks, self.engine.labels(passes))
        return self.engine.forward_backward(self.feed.move(passes), labels), labels

    def step(self) -> None:
        """One step, with what the trainer's loop asks after it."""
        own, labels = self.forward_backward()
        self.engine.step()
        self.losses.append(float(own) / labels)
        assert self.engine.step_applied
        assert self.engine.gradient_norm
        self.engine.watch.lap()
        self.done += 1


def ours(spec: JobSpec, attention: str | None = None, change: Callable[[Any], None] | None = None) -> Ours:
    """The only rank of a gang, ready for its first step.

    Args:
        spec: of the job.
        attention: that the trainer does not choose itself.
        change: is given the model before it is trained.
    """
    alone(free_port())
    ranks = distributed.join()
    layout = layout_of(shape_of(spec), spec)
    training = spec.training
    plan = BatchPlan(training.global_batch_size, training.micro_batch_size, 1)
    made = on_device(spec, ranks)
    if change:
        change(made)
    given, config = [made], made.config
    del made  # so that what DeepSpeed makes of it is all that is held
    with (
        patch.object(apply, "configuration_of", lambda *_, **__: config),
        patch.object(apply, "empty_model", lambda *_, **__: given.pop()),
        patch.object(document_attention, "attention_of", lambda *_: attention),
    ):
        engine, _ = apply.build(
            Path("none"), spec, shape_of(spec), layout, layout.place(0), plan, STEPS, weights=False
        )
    engine.watch = device.stopwatch(ranks)
    rows = rows_of(spec)
    length = Length(len(rows), training.global_batch_size, STEPS, None)
    batches = Batches(rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
    feed = Feed(lambda done: batches.at(done, layout.place(0), torch.device("cpu")), STEPS, ranks.device)
    return Ours(spec, ranks, engine, feed)


def plain(spec: JobSpec) -> Callable[[], None]:
    """A step by hand: fp32 weights, autocast, fused AdamW, each layer and the loss compiled where asked."""
    gpu = torch.cuda.is_available()
    ranks = Ranks(0, 1, 0, torch.device("cuda", 0) if gpu else torch.device("cpu"))
    training = spec.training
    model = on_device(spec, ranks).train()
    groups, _ = parameter_groups(model.named_parameters(), training.weight_decay)
    optimizer = adamw(groups, training)

    def loss_of(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten())

    if training.compile:
        compile_layers(model)
        loss_of = torch.compile(loss_of, dynamic=False)
    rows, micro = rows_of(spec), training.micro_batch_size
    done = 0

    def step() -> None:
        nonlocal done
        chosen = [(done * micro + n) % len(rows) for n in range(micro)]
        ids = torch.from_numpy(rows[chosen].astype(np.int64)).to(ranks.device)
        half = torch.autocast(ranks.device.type, torch.bfloat16, enabled=training.precision is Precision.BF16)
        with half:
            logits = model(input_ids=ids).logits
        loss = loss_of(logits[:, :-1], ids[:, 1:])
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clipping)
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())
        done += 1

    return step


def timed(step: Callable[[], None], warm: int, steps: int) -> list[float]:
    """Seconds of each step after some that are not counted."""
    found = []
    for number in range(warm + steps):
        wait()
        began = time.perf_counter()
        step()
        wait()
        if number >= warm:
            found.append(time.perf_counter() - began)
    return found
