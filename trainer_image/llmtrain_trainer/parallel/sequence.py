"""Ulysses sequence parallelism: each rank has a part of every sequence, and some heads of all of it."""

from __future__ import annotations

from typing import Any

import torch
from deepspeed.runtime.sequence_parallel.ulysses_sp import UlyssesSPAttentionHF
from typing_extensions import override

from llmtrain_api import Layout

from ..data.loader import Pass
from .engine import Engine


def register(model: Any, layout: Layout, micro: int) -> Any:
    """Replace the model's attention by Ulysses' and make the groups; DeepSpeed's ``mpu``."""
    return UlyssesSPAttentionHF.register_with_transformers(
        model_name_or_path=model,
        core_attn_implementation=model.config._attn_implementation,
        sequence_parallel_size=layout.sequence,
        micro_batch_size=micro,
        seq_length_is_variable=True,
    )


class SequenceEngine(Engine):
    """An engine whose ranks hold a part of each sequence."""

    @property
    @override
    def averages_over(self) -> int:
        """DeepSpeed reduces over data and sequence ranks; stage 3 divides by both, the others by the data
        ranks only (which a loss cannot show: AdamW and clipping hide the scale)."""
        return self.layout.data * (self.layout.sequence if self.layout.zero == 3 else 1)

    @override
    def share(self, one: Pass) -> Pass:
        """Positions are those in the whole sequence: without them each part would start at 0."""
        inputs, labels = one
        ids = inputs["input_ids"]
        whole = inputs | {"position_ids": torch.arange(ids.shape[1], device=ids.device).expand_as(ids)}
        length = ids.shape[1] // self.layout.sequence
        own = slice(self.place.sequence * length, (self.place.sequence + 1) * length)
        return {name: value[:, own].contiguous() for name, value in whole.items()}, labels[:, own]
