"""What the training loop needs of a layout, and DeepSpeed's JSON.

A kind of parallelism changes how a pass is run, never what is computed: the gradient is that of the sum of
losses over the count of labels of the global batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import deepspeed
import torch
from deepspeed.utils import safe_get_full_grad

from llmtrain_api import JobSpec, Layout, Place, Precision
from llmtrain_api.estimate.memory import reduce_bucket

from ..batch import BatchPlan
from ..data.loader import Pass
from ..loss import label_count
from ..models.adapters import whole_name
from ..tasks import objective
from ..telemetry.phases import Phase, Stopwatch
from .head_loss import HeadLoss

Found = TypeVar("Found")


def deepspeed_config(spec: JobSpec, layout: Layout, plan: BatchPlan, parameters: int) -> dict[str, Any]:
    """DeepSpeed's JSON. Everything with a surprising default is written out.

    Args:
        spec: precision and clipping, and whether there are GPUs.
        layout: how the gang is cut.
        plan: how a global batch is cut.
        parameters: numbers of this rank's part of the model.
    """
    training = spec.training
    return {
        "train_micro_batch_size_per_gpu": plan.micro,
        "gradient_accumulation_steps": plan.passes,
        # default: room for 500 million numbers, 2 GB, however small the model is
        "zero_optimization": {"stage": layout.zero, "reduce_bucket_size": reduce_bucket(spec, parameters)},
        "zero_allow_untested_optimizer": True,
        # default 1.0: would clip although nobody asked for it; without ZeRO `UnshardedEngine` clips itself
        "gradient_clipping": training.gradient_clipping if layout.zero else 0.0,
        "bf16": {"enabled": training.precision is Precision.BF16, "check_grad_overflow": True},
        # the scale is found by trying: halved where a gradient overflows, doubled after 1000 steps without
        "fp16": {"enabled": training.precision is Precision.FP16, "loss_scale": 0, "initial_scale_power": 16},
        # both default to the model's dtype: bf16 sums
        "communication_data_type": "fp32",
        "data_types": {"grad_accum_dtype": "fp32"},
        "steps_per_print": 1 << 60,
        "wall_clock_breakdown": False,
    }


@dataclass(frozen=True)
class Penalty:
    """A term of the step beside the task's loss: weight x sum over all ranks / count.

    Attributes:
        passes: this rank's; every rank has as many.
        objective: the sum over a pass.
        weight: of the term.
        count: what the sum is divided by, the same on every rank.
    """

    passes: list[Pass]
    objective: objective.Objective
    weight: float
    count: int


class Engine:
    """A DeepSpeed engine whose ranks each hold a whole model, or what ZeRO or AutoTP leaves of it."""

    def __init__(self, engine: Any, layout: Layout, place: Place, plan: BatchPlan) -> None:
        self.raw, self.layout, self.place, self.plan = engine, layout, place, plan
        self.watch = Stopwatch()
        self.objective: objective.Objective = objective.tokens
        self.head: HeadLoss | None = None

    @property
    def averages_over(self) -> int:
        """Ranks whose gradients DeepSpeed averages."""
        return self.layout.data

    @property
    def counts(self) -> bool:
        """Whether labels and losses of this rank count; those of its copies are the same ones."""
        return self.place.tensor == 0

    def share(self, one: Pass) -> Pass:
        """This rank's part of a pass of its data-parallel rank."""
        return one

    def loss_of(self, outputs: Any, labels: torch.Tensor) -> torch.Tensor:
        """Sum of the losses of a pass."""
        return self.objective(outputs, labels)

    def forward_backward(self, passes: list[Pass], global_labels: int) -> torch.Tensor:
        """Gradients of the global batch's mean loss; this rank's own sum of token losses.

        The mean of means is not the mean when ranks hold different numbers of labels, so both of the
        engine's averages, over accumulation steps and over ranks, are undone.
        """
        return self._accumulated(passes, self.loss_of, 1.0, global_labels) * self.counts

    def forward_backward_with(
        self, passes: list[Pass], global_labels: int, penalty: Penalty
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gradients of the global batch's mean loss and of a penalty beside it; this rank's own sums of both,
        the penalty's without its weight."""
        own = self._accumulated(penalty.passes, penalty.objective, penalty.weight, penalty.count)
        self.raw.step()  # as between all passes of a step: no update
        return self.forward_backward(passes, global_labels), own

    def _accumulated(
        self, passes: list[Pass], of: objective.Objective, weight: float, count: int
    ) -> torch.Tensor:
        """Add up gradients of weight x sum / count, where the sum is over all ranks; this rank's own sum."""
        own = torch.zeros((), device=self.raw.device)
        scale = self.plan.passes * self.averages_over * weight / count
        for number, one in enumerate(passes):
            if number:
                self.raw.step()  # inside an accumulation: no update, moves the boundary on
            inputs, labels = self.share(one)
            with self.watch(Phase.FORWARD):
                loss_sum = self._found(inputs, labels, of)
            with self.watch(Phase.BACKWARD):
                self.backward(loss_sum * scale)
            own += loss_sum.detach()
        return own

    def _found(
        self, inputs: dict[str, torch.Tensor], labels: torch.Tensor, of: objective.Objective
    ) -> torch.Tensor:
        """What a function finds in a pass; the task's own loss without whole logits, where the job asks."""
        if self.head is None or of != self.loss_of or self.objective is not objective.tokens:
            return of(self.raw(**inputs), labels)
        with self.head.of(labels):
            found: torch.Tensor = self.raw(**inputs).logits
        return found

    def backward(self, loss: torch.Tensor) -> None:
        """Add a pass to the step's gradients; in its last pass, exchange them between ranks."""
        self.raw.backward(loss)

    def step(self) -> None:
        """Clip and update."""
        self.raw.step()

    @torch.no_grad()
    def loss_sum(self, passes: list[Pass]) -> tuple[float, int]:
        """Sum of token losses and number of labels of this rank's part of some passes, without training."""
        losses = sum(float(found) for found in self.evaluated(passes, self.loss_of))
        return losses * self.counts, self.labels(passes)

    @torch.no_grad()
    def evaluated(self, passes: list[Pass], of: objective.Objective) -> list[torch.Tensor]:
        """What a function finds in the outputs and the labels of each pass, without training."""
        self.raw.eval()
        found = [self._found(*self.share(one), of) for one in passes]
        self.raw.train()
        return found

    @torch.no_grad()
    def of_model(self, do: Callable[[Any], Found]) -> Found:
        """What a function finds of the model itself, without training; for ranks that hold all of it."""
        self.raw.eval()
        found = do(self.raw.module)
        self.raw.train()
        return found

    def labels(self, passes: list[Pass]) -> int:
        """Labels that this rank adds to the global batch's count."""
        return self.counts * sum(label_count(self.share(one)[1]) for one in passes)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self.raw.get_lr()[0])

    @property
    def gradient_norm(self) -> float | None:
        """Before clipping; infinite where it is not finite, None before the first step."""
        norm = self.raw.get_global_grad_norm()
        return None if norm is None else float(norm)

    @property
    def step_applied(self) -> bool:
        """Whether the last step was applied: one whose gradients are not finite is dropped silently."""
        return bool(self.raw.was_step_applied())

    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """This rank's trained parameters by the name that the whole model has for them."""
        for name, parameter in self.raw.module.named_parameters():
            if parameter.requires_grad:
                yield whole_name(name), parameter

    def frozen_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """This rank's parameters that are not trained, by the name that the whole model has for them."""
        for name, parameter in self.raw.module.named_parameters():
            if not parameter.requires_grad:
                yield whole_name(name), parameter

    @property
    def frozen(self) -> bool:
        """Whether some weights are not trained, so that no checkpoint has them."""
        return any(True for _ in self.frozen_parameters())

    def whole_weight(self, name: str, parameter: torch.nn.Parameter) -> torch.Tensor:
        """A parameter of the whole model in the dtype that it is trained in; all ranks call it."""
        with self.gathered(name, parameter) as whole:
            return whole.clone() if self.layout.zero == 3 else whole

    @contextmanager
    def gathered(self, name: str, parameter: torch.nn.Parameter) -> Iterator[torch.Tensor]:
        """As `whole_weight`, without a copy: it is there while ``with`` lasts."""
        del name
        if self.layout.zero < 3:
            yield parameter.detach()
            return
        with deepspeed.zero.GatheredParameters([parameter]):
            yield parameter.detach()

    def whole_shape(self, name: str, parameter: torch.nn.Parameter) -> tuple[int, ...]:
        """The shape that a parameter has in the whole model."""
        del name
        return shape_of(parameter)

    def own_part(self, parameter: torch.nn.Parameter, whole: torch.Tensor) -> torch.Tensor:
        """This rank's part of a tensor of the whole model, ZeRO's sharding apart."""
        del parameter
        return whole

    def gradient(self, parameter: torch.nn.Parameter) -> torch.Tensor:
        """A parameter's gradient before the update, as DeepSpeed will apply it; all ranks call it."""
        found: torch.Tensor = safe_get_full_grad(parameter)
        # in fp16 it is held as the loss was scaled; DeepSpeed takes that off as it updates
        scale = float(getattr(self.raw.optimizer, "loss_scale", 1.0))
        return found if scale == 1.0 else found / scale


def shape_of(parameter: torch.nn.Parameter) -> tuple[int, ...]:
    """A parameter's shape, also where ZeRO 3 has left only a shard of it."""
    return tuple(getattr(parameter, "ds_shape", parameter.shape))
