"""One rank of a proof: the product's engine, five steps. Forked from a process that imported everything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import torch
from deepspeed.accelerator import get_accelerator
from deepspeed.utils import safe_get_full_fp32_param
from harness.layouts import answers as written
from harness.layouts import samples, seen
from harness.layouts.alike import sentences
from harness.layouts.rows import LENGTH, SAMPLES, STEPS, VOCAB, Row

from llmtrain_api import JobSpec, TrainingSpec, shape_of
from llmtrain_api.layouts.proven import DIALOGUES
from llmtrain_trainer import distributed, loss
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.data.reference import joined
from llmtrain_trainer.models import adapters
from llmtrain_trainer.models.build import write_initial
from llmtrain_trainer.optim.optimizer import adamw
from llmtrain_trainer.parallel import head_loss
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, Encoder, encoder
from llmtrain_trainer.tasks.kto import settled
from llmtrain_trainer.telemetry import device
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED
from llmtrain_trainer.training.penalty import StepPairs, gradients

EOS = 0
START_OF = adapters.start_of


def encoder_for(row: Row) -> Encoder:
    """The encoder of a row's task."""
    if row.rewarded:
        return written.Given(row.spec(clipping=0.0), LENGTH)
    if row.seen:
        return seen.encoder_of(row.shape)
    tokens_of = OURS if row.sampled is None else samples.tokens_of(row.family)
    return encoder(row.spec(clipping=0.0), row.shape, tokens_of)


def first_weights(spec: JobSpec, folder: Path, _rank: int = 0) -> None:
    """Write the model that training starts from; in a fork of its own, as it computes."""
    write_initial(spec, shape_of(spec), EOS, folder)


def answers(row: Row) -> np.ndarray[Any, Any]:
    """Rows of two sequences with the marks of pairs, with loss kto a label, and what a reference might say of
    them."""
    generator = np.random.default_rng(8)
    sides = generator.integers(40, VOCAB, (SAMPLES, 2, LENGTH))
    sides[..., 0] |= FIRST_OF_DOCUMENT
    for one in sides.reshape(-1, LENGTH):
        end = generator.integers(6, LENGTH + 1)
        one[: generator.integers(1, end)] |= NOT_TRAINED
        one[end:] = EOS | NOT_TRAINED
        one[end : end + 1] |= FIRST_OF_DOCUMENT
    rows = sides.reshape(SAMPLES, -1)
    if row.loss == "orpo":
        return rows
    answered = ((sides & NOT_TRAINED) == 0).sum(-1)
    reference = generator.normal(-np.log(VOCAB) * answered, 1.0)
    if row.loss == "kto":
        rows = np.concatenate([rows, generator.integers(0, 2, (SAMPLES, 1)) | NOT_TRAINED], axis=1)
        reference[:, 1] -= 1.0  # so that the divergence is none that is held at 0
    return joined(rows, reference)


def tokens(row: Row | None = None) -> np.ndarray[Any, Any]:
    """The training rows: noise with a separator every few tokens, or with the marks of dialogues."""
    if row is not None and row.loss:
        return answers(row)
    if row is not None and row.rewarded:
        return written.rows(SAMPLES, LENGTH, VOCAB)
    if row is not None and row.sampled is not None:
        return samples.samples(row.sampled, SAMPLES, LENGTH, VOCAB)
    if row is not None and row.seen:
        return seen.rows()
    generator = np.random.default_rng(7)
    rows = generator.integers(40, VOCAB, (SAMPLES, LENGTH)).astype(np.uint16)
    rows[generator.random(rows.shape) < 0.12] = EOS
    if row is None or row.packing != DIALOGUES:
        return rows
    marked = rows.astype(np.uint32)
    marked[rows == EOS] |= FIRST_OF_DOCUMENT
    marked[:, 0] |= FIRST_OF_DOCUMENT
    # ranks get most unequal numbers of tokens to train on
    marked[generator.random(rows.shape) < generator.random((SAMPLES, 1))] |= NOT_TRAINED
    return marked


def perturbed(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """An adapter's first value with a B that is not zero, or A would have no gradient to compare."""
    first = START_OF(name, shape, seed)
    return START_OF(f"{name} perturbed", shape, seed) if not first.any() else first


def adamw_of_rows(groups: Iterable[dict[str, Any]], training: TrainingSpec) -> torch.optim.Optimizer:
    """At the default eps of 1e-8 an update is the sign of the gradient, which flips where that is noise."""
    optimizer = adamw(groups, training)
    for group in optimizer.param_groups:
        group["eps"] = 1e-3
    return optimizer


def sgd(groups: Iterable[dict[str, Any]], training: TrainingSpec) -> torch.optim.Optimizer:
    """Shows the scale of a gradient, which AdamW hides."""
    return torch.optim.SGD(groups, lr=training.learning_rate)


def rank_main(row: Row, kind: str, clipping: float, model: Path, out: Path) -> None:
    """Train and save what this rank saw."""
    share_compiled(out)
    if row.precision == "fp16":
        allow_half()
    ranks = distributed.join()
    loss.CHUNK = 7 * VOCAB  # so that the loss of a pass has several chunks, the last one smaller
    spec = row.spec(clipping=clipping)
    training, layout = spec.training, row.layout
    place = layout.place(ranks.rank)
    plan = BatchPlan(training.global_batch_size, training.micro_batch_size, layout.data)
    assert plan.accumulation == row.accumulation, (plan.accumulation, row)
    rows = tokens(row)
    length = Length(len(rows), training.global_batch_size, STEPS, None)
    task = encoder_for(row)
    pairs = StepPairs(sentences(), training, plan, STEPS) if row.alike else None
    plan = replace(plan, beside=pairs.passes if pairs else 0)
    batches = Batches(rows, plan, length, training.seed, task)
    if row.adapter:
        adapters.start_of = perturbed
    engine, _ = build(
        model, spec, row.shape, layout, place, plan, STEPS, sgd if kind == "sgd" else adamw_of_rows
    )
    engine.objective = task.objective
    head_loss.head_loss_sum = without_logits = Mock(wraps=head_loss.head_loss_sum)
    assert engine.raw.module.training  # or no activation would be checkpointed
    engine.watch = device.stopwatch(ranks)  # as a job does: what it wraps must not end in compiled code
    found: dict[str, Any] = {"losses": [], "norms": [], "gradients": {}, "place": place}
    added = partial(distributed.all_reduce_sum_float, ranks)
    for step in range(STEPS):
        passes = batches.at(step, place, ranks.device)
        [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
        beside = pairs.at(step, place, ranks.device) if pairs else None
        settled_passes = settled(task, passes, engine.evaluated, added)
        own, squares = gradients(engine, settled_passes, labels, beside)
        own += sum(squares) * (beside.weight if beside else 0.0)
        if step == 0:
            found["gradients"] = {
                name: engine.gradient(p).detach().float().cpu().clone()
                for name, p in engine.named_parameters()
            }
        engine.step()
        found["losses"] += distributed.all_reduce_sum_float(ranks, own)
        found["norms"].append(engine.gradient_norm)
    passes = settled(task, passes, engine.evaluated, added)
    found["held_out"], _ = distributed.all_reduce_sum_float(ranks, *engine.loss_sum(passes))
    # of each pass of a step and of the evaluation; of whole logits the numbers would be right too
    assert without_logits.call_count == row.chunked * (STEPS + 1) * len(passes)
    found["compiled"] = compiled_code() if row.compiled else None
    found["weights"] = {name: weight(p).detach().cpu().clone() for name, p in engine.named_parameters()}
    torch.save(found, out / f"rank-{ranks.rank}.pt")
    distributed.leave()


def overflow_main(row: Row, model: Path, out: Path) -> None:
    """Steps in fp16 whose first gradients are far too large for its scale; what became of each."""
    allow_half()
    ranks = distributed.join()
    spec = row.spec(clipping=0.0)
    training, place = spec.training, row.layout.place(ranks.rank)
    plan = BatchPlan(training.global_batch_size, training.micro_batch_size, row.layout.data)
    rows = tokens(row)
    length = Length(len(rows), training.global_batch_size, STEPS, None)
    batches = Batches(rows, plan, length, training.seed, encoder(spec, row.shape, OURS))
    engine, _ = build(model, spec, row.shape, row.layout, place, plan, STEPS)
    passes = batches.at(0, place, ranks.device)
    [labels] = distributed.all_reduce_sum(ranks, engine.labels(passes))
    found: dict[str, Any] = {"applied": [], "scales": [], "norms": []}
    for _ in range(24):
        # as if the batch had one label: gradients as many times as large as it has labels
        engine.forward_backward(passes, 1)
        found["scales"].append(float(engine.raw.optimizer.loss_scale))
        engine.step()
        found["applied"].append(engine.step_applied)
        found["norms"].append(engine.gradient_norm)
        if engine.step_applied:
            break
    found["norm"] = engine.gradient_norm
    found["finite"] = all(bool(weight(p).isfinite().all()) for _, p in engine.named_parameters())
    found["labels"] = labels
    found["right"] = unscaled_norm(row, model) * labels
    found["norms"] = [str(norm) for norm in found["norms"]]
    (out / f"rank-{ranks.rank}.json").write_text(json.dumps(found))
    distributed.leave()


def unscaled_norm(row: Row, model: Path) -> float:
    """The first gradient's norm as one fp32 process on the CPU has it."""
    from harness.layouts.reference import reference

    return float(reference(row, "sgd", 0.0, model, torch.float32)["norms"][0])


def allow_half() -> None:
    """Let this machine's CPU train in fp16: it can, slowly, and DeepSpeed asks for a fast one."""
    if torch.cuda.is_available():
        return
    kind = type(get_accelerator())
    kind.is_fp16_supported = lambda _self: True
    kind.supported_dtypes = lambda _self: [torch.float, torch.bfloat16, torch.half]


def share_compiled(folder: Path) -> None:
    """Have ranks find what others compiled, and compile alone: a pool of compilers would outlive them."""
    os.environ.update(TORCHINDUCTOR_CACHE_DIR=str(folder / "inductor"), TORCHINDUCTOR_COMPILE_THREADS="1")


def compiled_code() -> dict[str, int]:
    """What was compiled, and where compiled code was cut."""
    from torch._dynamo.utils import counters  # loads the compiler

    return {"compiled": counters["frames"]["ok"], "cuts": sum(counters["graph_break"].values())}


def weight(parameter: torch.nn.Parameter) -> torch.Tensor:
    """The fp32 weight, whatever shards it."""
    full = safe_get_full_fp32_param(parameter)
    return parameter if full is None else full
