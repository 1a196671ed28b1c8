"""ZeRO 3 from the first byte: no rank ever holds the whole model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import deepspeed
from transformers.integrations.deepspeed import prevent_arange_dtype_change

from llmtrain_api import Layout, Precision


@contextmanager
def sharded_from_the_start(layout: Layout, precision: Precision, micro: int) -> Iterator[None]:
    """While a model is built here, each weight is sharded as it is made (``deepspeed.zero.Init``).

    AutoTP cuts whole matrices, so with tensor parallelism ZeRO 3 shards afterwards.

    Args:
        layout: decides whether anything is done.
        precision: that the shards are kept in. DeepSpeed casts no shard later: left out, a bf16 job would
            train in fp32.
        micro: sequences a forward pass, which DeepSpeed's JSON must have.
    """
    if layout.zero < 3 or layout.tensor > 1:
        yield
        return
    config = {
        "zero_optimization": {"stage": layout.zero},
        "train_micro_batch_size_per_gpu": micro,
        "bf16": {"enabled": precision is Precision.BF16},
        "fp16": {"enabled": precision is Precision.FP16},
    }
    # or the frequencies of rotary positions would be rounded to the dtype of the shards
    with prevent_arange_dtype_change(), deepspeed.zero.Init(config_dict_or_path=config):
        yield
