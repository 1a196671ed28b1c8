"""Pipeline parallelism by DeepSpeed's PipelineModule over the real Hugging Face layers."""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
from deepspeed.pipe import PipelineModule
from deepspeed.runtime.pipe import schedule
from transformers.initialization import no_init_weights
from typing_extensions import override

from llmtrain_api import Layout, Place, Recompute

from ..batch import BatchPlan
from ..data.loader import Pass
from ..loss import label_count, token_loss_sum
from ..models.pipeline_stages import Around, Block, layers, whole_name
from ..telemetry.phases import Phase
from .engine import Engine
from .recompute import checkpoint_of

Sent = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""Token ids or hidden states; and positions where documents must not see each other."""


class StageLoss:
    """The last stage's loss: scaled for the engine, and summed as it is."""

    def __init__(self) -> None:
        self.scale = 1.0
        self.sum = 0.0

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What the engine differentiates."""
        loss_sum = token_loss_sum(logits, labels)
        self.sum += float(loss_sum.detach())
        return loss_sum * self.scale


class Stage(PipelineModule):  # type: ignore[misc]
    """This rank's layers. Stages send each other hidden states, and positions where documents must not see
    each other; what blocks need beside those is made once for a micro-batch."""

    def __init__(self, config: Any, **options: Any) -> None:
        super().__init__(layers(config), **options)
        kinds = {one.slides for one in self.forward_funcs if isinstance(one, Block)}
        self.around = Around(config, kinds)

    @override
    def forward(self, sent: Sent) -> Sent:
        """What a stage is sent to what it sends, or to logits."""
        begun, positions = sent if isinstance(sent, tuple) else (sent, None)
        where = positions
        if where is None:
            where = torch.arange(begun.shape[1], device=begun.device).expand(begun.shape[:2])
        made = super().forward((begun, self.around(where, next(self.parameters()).dtype)))
        hidden: torch.Tensor = made[0] if isinstance(made, tuple) else made
        return (hidden, positions) if isinstance(made, tuple) and positions is not None else hidden


def build_stage(config: Any, layout: Layout, loss: StageLoss, again: Recompute | None) -> Stage:
    """This rank's layers, whose weights are whatever the memory holds.

    Args:
        config: of the whole model.
        layout: how many stages there are.
        loss: of the last stage.
        again: which activations are computed again in the backward pass.
    """
    config._attn_implementation = "sdpa"  # what transformers would choose for a whole model
    with no_init_weights():
        return Stage(
            config,
            num_stages=layout.pipeline,
            loss_fn=loss,
            # as many blocks a stage as can be: by parameters, a large vocabulary would leave a stage none
            partition_method="type:Block",
            activation_checkpoint_interval=int(again is not None),
            activation_checkpoint_func=checkpoint_of(again),
        )


class PipelineEngine(Engine):
    """An engine whose ranks are stages. All passes of a step run under one schedule."""

    def __init__(self, engine: Any, layout: Layout, place: Place, plan: BatchPlan, loss: StageLoss) -> None:
        super().__init__(engine, layout, place, plan)
        self.loss = loss
        # the update is the loop's own call, as in every other layout
        engine._INSTRUCTION_MAP = {
            **engine._INSTRUCTION_MAP,
            schedule.OptimizerStep: MethodType(lambda *_args, **_kwargs: None, engine).__func__,
        }

    @property
    @override
    def counts(self) -> bool:
        """Every stage has the labels; the first one's are counted."""
        return self.place.pipeline == 0

    @override
    def forward_backward(self, passes: list[Pass], global_labels: int) -> torch.Tensor:
        # only the last stage knows the losses
        self.loss.scale = self.plan.accumulation * self.averages_over / global_labels
        self.loss.sum = 0.0
        with self.watch(Phase.FORWARD_BACKWARD):
            self.raw.train_batch(iter([_plain(one) for one in passes]))
        return torch.tensor(self.loss.sum)

    @override
    def step(self) -> None:
        """Clip and update."""
        self.raw._exec_optimizer_step()

    @torch.no_grad()
    @override
    def loss_sum(self, passes: list[Pass]) -> tuple[float, int]:
        self.loss.scale, self.loss.sum = 1.0, 0.0
        self.raw.eval_batch(
            iter([_plain(one) for one in passes]),
            reduce_output=None,
            bcast_loss=False,
            num_micro_batches=len(passes),
        )
        self.raw.train()
        return self.loss.sum, self.counts * sum(label_count(labels) for _, labels in passes)

    @override
    def named_parameters(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """This stage's parameters by the whole model's names."""
        for name, parameter in self.raw.module.named_parameters():
            yield whole_name(name), parameter


def _plain(one: Pass) -> tuple[Sent, torch.Tensor]:
    inputs, labels = one
    ids = inputs["input_ids"]
    return ((ids, inputs["position_ids"]) if "position_ids" in inputs else ids), labels
