"""Low-rank adapters (LoRA) beside frozen weights: where they are, what they are named, how they begin.

peft puts the layers in; their first values are ours, each tensor's from a seed of its own, so that every rank
of every layout begins with the same ones.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import torch
from typing_extensions import override

from llmtrain_api import AdapterSpec, JobSpec, ModelShape, Task, task_of
from llmtrain_api.schema.adapter import ALL_LINEAR

from .weights import Weights

A, B = "lora_A.weight", "lora_B.weight"
"""Ends of an adapter's names, where its layer's own matrix ends in ``weight``."""
TRANSPOSED = ("GPT2LMHeadModel",)
"""Architectures whose linear layers are transformers' Conv1D."""
_WRAPPED = re.compile(r"\.base_layer(?=\.)|(?<=\.lora_[AB])\.default(?=\.)")
_TASKS = {Task.CAUSAL: "CAUSAL_LM", Task.SEQ2SEQ: "SEQ_2_SEQ_LM"}


def whole_name(name: str) -> str:
    """The name that a model without peft's wrappers has for a parameter, and peft's files for an adapter.

    ``q_proj.base_layer.weight`` is ``q_proj.weight``; ``q_proj.lora_A.default.weight`` is
    ``q_proj.lora_A.weight``.
    """
    return _WRAPPED.sub("", name)


def start_of(name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """An adapter's first value, in fp32: A uniform as `torch.nn.Linear` begins, B zero, so that training
    begins at the base (https://arxiv.org/abs/2106.09685, section 4.1).

    Args:
        name: as `whole_name` gives it.
        shape: [rank, inputs] of A, [outputs, rank] of B.
        seed: of the job.
    """
    if name.endswith(B):
        return torch.zeros(shape)
    own = hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]
    generator = torch.Generator().manual_seed(int.from_bytes(own, "big"))
    bound = 1 / math.sqrt(shape[1])
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def configuration(spec: JobSpec, shape: ModelShape, adapter: AdapterSpec, *, base: str | None = None) -> Any:
    """peft's configuration, as it also stands in ``adapter_config.json``.

    Args:
        spec: the job.
        shape: its model's.
        adapter: of the job.
        base: where the frozen weights lie, for whoever opens the adapter.
    """
    from peft import LoraConfig  # half a second that only these jobs pay

    every = adapter.targets == [ALL_LINEAR]
    return LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        target_modules=ALL_LINEAR if every else list(adapter.targets),
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=transposed(shape),
        task_type=_TASKS.get(task_of(spec, shape)),
        base_model_name_or_path=base,
    )


def transposed(shape: ModelShape) -> bool:
    """Whether the model's linear layers keep their matrices as [inputs, outputs]."""
    return shape.architecture in TRANSPOSED


class AdaptedWeights(Weights):
    """What a model with adapters starts from: the weights of a folder, and each adapter's first value."""

    @override
    def flat(self, name: str, shape: tuple[int, ...], start: int, stop: int) -> torch.Tensor:
        if name.endswith((A, B)):
            return start_of(name, shape, self.seed).flatten()[start:stop]
        return super().flat(name, shape, start, stop)


def add(model: torch.nn.Module, spec: JobSpec, shape: ModelShape, adapter: AdapterSpec) -> None:
    """Freeze a model and put adapters into it, in place, with no values of ours yet.

    With ZeRO 3 the model's weights are sharded already. Adapters are not, and as large on each rank as they
    are in all: they are small, and DeepSpeed shards them when it takes the model over.

    Args:
        model: just built.
        spec: the job.
        shape: its model's.
        adapter: of the job.
    """
    from peft import inject_adapter_in_model

    inject_adapter_in_model(configuration(spec, shape, adapter), model)
