"""Traps of the trade, planted one by one in the product: each must turn a row red.

A mutant changes a class or a module of this process; the ranks are forked from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.layouts.rows import WHOLE, Row

from llmtrain_api import Layout
from llmtrain_api.layouts.proven import FAIRNESS, PAIRS, REINFORCEMENT
from llmtrain_trainer import loss
from llmtrain_trainer.data import loader
from llmtrain_trainer.models import pipeline_stages
from llmtrain_trainer.parallel import apply, pipeline
from llmtrain_trainer.parallel.engine import Engine, Penalty
from llmtrain_trainer.parallel.pipeline import PipelineEngine, StageLoss
from llmtrain_trainer.parallel.reducer import GradientReducer
from llmtrain_trainer.parallel.sequence import SequenceEngine
from llmtrain_trainer.parallel.tensor import TensorEngine
from llmtrain_trainer.parallel.unsharded import DataParallelEngine
from llmtrain_trainer.tasks.causal import CausalLM, positions
from llmtrain_trainer.tasks.kto import JudgedLM
from llmtrain_trainer.tasks.reinforcement import RewardedLM

Patch = Callable[[pytest.MonkeyPatch], None]


def _config(change: Callable[[dict[str, Any]], None]) -> Patch:
    real = apply.deepspeed_config

    def changed(*arguments: Any) -> dict[str, Any]:
        config = real(*arguments)
        change(config)
        return config

    return lambda patch: patch.setattr(apply, "deepspeed_config", changed)


def _sequence_ranks_are_averaged(patch: pytest.MonkeyPatch) -> None:
    both = property(lambda self: self.layout.data * self.layout.sequence)
    patch.setattr(SequenceEngine, "averages_over", both)


def _stage_3_averages_data_ranks_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SequenceEngine, "averages_over", property(lambda self: self.layout.data))


def _mean_of_means(patch: pytest.MonkeyPatch) -> None:
    real = Engine.forward_backward

    def own_labels(self: Engine, passes: Any, _global_labels: int) -> torch.Tensor:
        own = max(1, sum(loss.label_count(labels) for _, labels in passes)) * self.averages_over
        return real(self, passes, own)

    patch.setattr(Engine, "forward_backward", own_labels)


def _accumulation_is_averaged(patch: pytest.MonkeyPatch) -> None:
    real = Engine.forward_backward
    patch.setattr(
        Engine,
        "forward_backward",
        lambda self, passes, labels: real(self, passes, labels * self.plan.accumulation),
    )


def _stages_are_averaged(patch: pytest.MonkeyPatch) -> None:
    real = StageLoss.__call__
    patch.setattr(StageLoss, "__call__", lambda self, logits, labels: real(self, logits, labels) / 2)


def _answers_are_not_clipped(patch: pytest.MonkeyPatch) -> None:
    real = RewardedLM.objective

    def unclipped(self: RewardedLM, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        self.how = self.how.model_copy(update={"clip_low": 1.0, "clip_high": 1e9})
        return real(self, outputs, labels)

    patch.setattr(RewardedLM, "objective", unclipped)


def _labels_of_copies_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TensorEngine, "counts", True)


def _labels_of_stages_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PipelineEngine, "counts", True)


def _spare_slots_are_trained_on(patch: pytest.MonkeyPatch) -> None:
    real = loader.encoded
    patch.setattr(
        loader,
        "encoded",
        lambda rows, chosen, keys, spare, task, device: real(
            rows, chosen, keys, [False] * len(spare), task, device
        ),
    )


def _decay_by_shape(patch: pytest.MonkeyPatch) -> None:
    """Sharded parameters have one dimension, or none."""

    def by_shape(named: Any, decay: float) -> Any:
        named = list(named)
        flat = [p for _, p in named if p.numel() < 2000]
        rest = [p for _, p in named if p.numel() >= 2000]
        return [{"params": rest, "weight_decay": decay}, {"params": flat, "weight_decay": 0.0}], 0

    patch.setattr(apply, "parameter_groups", by_shape)


def _documents_see_each_other(patch: pytest.MonkeyPatch) -> None:
    real = Engine.forward_backward
    patch.setattr(
        Engine,
        "forward_backward",
        lambda self, passes, labels: real(
            self, [({"input_ids": x["input_ids"]}, y) for x, y in passes], labels
        ),
    )


def _stages_forget_documents(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline, "_plain", lambda one: (one[0]["input_ids"], one[1]))


def _parts_start_at_0(patch: pytest.MonkeyPatch) -> None:
    real = SequenceEngine.share

    def local(self: SequenceEngine, one: Any) -> Any:
        inputs, labels = real(self, one)
        here = torch.arange(labels.shape[1]).expand_as(labels)
        return inputs | {"position_ids": here}, labels

    patch.setattr(SequenceEngine, "share", local)


def _labels_are_shifted_in_each_part(patch: pytest.MonkeyPatch) -> None:
    """As a loss that shifts does: the label at each cut is lost."""
    real = SequenceEngine.share

    def cut(self: SequenceEngine, one: Any) -> Any:
        inputs, labels = real(self, one)
        labels = labels.clone()
        labels[:, -1] = loss.IGNORED
        return inputs, labels

    patch.setattr(SequenceEngine, "share", cut)


def _logits_of_a_part_of_the_vocabulary(patch: pytest.MonkeyPatch) -> None:
    def local(_: TensorEngine, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        logits = outputs.logits
        known = torch.where(labels < logits.shape[-1], labels, loss.IGNORED)
        return F.cross_entropy(logits.flatten(0, 1), known.flatten(), reduction="sum")

    patch.setattr(TensorEngine, "loss_of", local)


def _each_stage_clips_by_its_own_norm(patch: pytest.MonkeyPatch) -> None:
    _config(lambda config: config.update(zero_optimization={"stage": 0}))(patch)


def _schedule_is_a_step_ahead(patch: pytest.MonkeyPatch) -> None:
    real = apply.schedule

    def ahead(training: Any, total: int) -> Callable[[int], float]:
        share = real(training, total)
        return lambda step: share(step + 1)

    patch.setattr(apply, "schedule", ahead)


def _layers_are_not_compiled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(apply, "compile_layers", lambda _model: None)


def _stages_forget_windows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pipeline_stages, "create_sliding_window_causal_mask", pipeline_stages.create_causal_mask)


def _each_rank_has_a_divergence_of_its_own(patch: pytest.MonkeyPatch) -> None:
    real = JudgedLM.settle
    patch.setattr(
        JudgedLM,
        "settle",
        lambda self, passes, evaluated, _added: real(self, passes, evaluated, lambda *own: own),
    )


def _each_rank_divides_by_its_own_pairs(patch: pytest.MonkeyPatch) -> None:
    real = Engine.forward_backward_with

    def own_pairs(self: Engine, passes: Any, labels: int, penalty: Penalty) -> Any:
        own = max(1, sum(loss.label_count(asked) for _, asked in penalty.passes))
        return real(self, passes, labels, replace(penalty, count=own * self.averages_over))

    patch.setattr(Engine, "forward_backward_with", own_pairs)


def _passes_of_pairs_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    """The engine averages over all passes of a step, and only those of the batch are undone."""
    real = Engine._accumulated
    patch.setattr(
        Engine,
        "_accumulated",
        lambda self, passes, of, weight, count: real(
            self, passes, of, weight * self.plan.accumulation / self.plan.passes, count
        ),
    )


def _each_rank_keeps_its_gradients(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GradientReducer, "_send", lambda _self, _whole: None)


def _sums_begin_in_any_pass(patch: pytest.MonkeyPatch) -> None:
    real = GradientReducer.begin

    def again(self: GradientReducer) -> None:
        self.end()
        real(self)

    patch.setattr(GradientReducer, "begin", again)


def _sums_are_sent_in_each_pass(patch: pytest.MonkeyPatch) -> None:
    """What is sent before the last pass is summed over the ranks again in it."""
    real = Engine.backward

    def sent(self: DataParallelEngine, loss: torch.Tensor) -> None:
        self.reducer.begin()
        with self.reducer.last_pass():
            real(self, loss)

    patch.setattr(DataParallelEngine, "backward", sent)


ZERO1, ZERO3, TP2 = Layout(data=2), Layout(data=2, zero=3), Layout(tensor=2)
PP2, SP2, SP2_ZERO3 = Layout(pipeline=2), Layout(sequence=2), Layout(sequence=2, zero=3)

MUTANTS: dict[str, tuple[Patch, Row]] = {
    "sequence ranks are averaged": (_sequence_ranks_are_averaged, Row("llama", SP2)),
    "stage 3 averages data ranks only": (_stage_3_averages_data_ranks_only, Row("llama", SP2_ZERO3)),
    "mean of means": (_mean_of_means, Row("llama", ZERO1)),
    "accumulation is averaged": (_accumulation_is_averaged, Row("llama", ZERO1, 4)),
    "stages are averaged": (_stages_are_averaged, Row("llama", PP2)),
    "labels of copies count": (_labels_of_copies_count, Row("llama", TP2)),
    "labels of stages count": (_labels_of_stages_count, Row("llama", PP2)),
    "spare slots are trained on": (_spare_slots_are_trained_on, Row("llama", ZERO1)),
    "decay by shape": (_decay_by_shape, Row("llama", ZERO3)),
    "documents see each other": (_documents_see_each_other, Row("llama", ZERO1, packing="documents")),
    "stages forget documents": (_stages_forget_documents, Row("llama", PP2, packing="documents")),
    "stages forget windows": (_stages_forget_windows, Row("mistral window", PP2)),
    "parts start at 0": (_parts_start_at_0, Row("llama", SP2)),
    "labels are shifted in each part": (_labels_are_shifted_in_each_part, Row("llama", SP2)),
    "logits of a part of the vocabulary": (_logits_of_a_part_of_the_vocabulary, Row("llama-tied", TP2)),
    "each stage clips by its own norm": (_each_stage_clips_by_its_own_norm, Row("llama", PP2)),
    "each rank keeps its gradients": (_each_rank_keeps_its_gradients, Row("llama", WHOLE)),
    "sums begin in any pass": (_sums_begin_in_any_pass, Row("llama", WHOLE, 4)),
    "sums are sent in each pass": (_sums_are_sent_in_each_pass, Row("llama", WHOLE, 4)),
    "clipping nobody asked for": (
        _config(lambda config: config.update(gradient_clipping=0.3)),
        Row("llama", ZERO1),
    ),
    "schedule is a step ahead": (_schedule_is_a_step_ahead, Row("gpt2", ZERO1)),
    "layers are not compiled": (_layers_are_not_compiled, Row("llama", ZERO1, compiled=True)),
    "each rank has a divergence of its own": (
        _each_rank_has_a_divergence_of_its_own,
        Row("llama", ZERO1, packing=f"{PAIRS}kto"),
    ),
    "each rank divides by its own pairs": (
        _each_rank_divides_by_its_own_pairs,
        Row("llama", ZERO1, packing=f"{FAIRNESS}concat"),
    ),
    "passes of pairs are not counted": (
        _passes_of_pairs_are_not_counted,
        Row("llama", ZERO1, packing=f"{FAIRNESS}concat"),
    ),
    "tokens of a rank's own answers": (
        _mean_of_means,
        Row("llama", ZERO1, 4, packing=REINFORCEMENT),
    ),
    "answers are not clipped": (_answers_are_not_clipped, Row("llama", ZERO1, packing=REINFORCEMENT)),
    "first token of a document is asked of the one before": (
        lambda patch: patch.setattr(CausalLM, "encode", _without_mask),
        Row("llama", ZERO1, packing="documents"),
    ),
}


def _without_mask(self: CausalLM, rows: torch.Tensor, keys: Any) -> Any:
    inputs, labels = CausalLM(None).encode(rows, keys)
    assert self.separator is not None
    return inputs | {"position_ids": positions(rows, self.separator)}, labels
