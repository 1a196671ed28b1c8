"""ZeRO 3 from the first byte: no rank ever holds the whole model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.integrations.deepspeed import HfDeepSpeedConfig, unset_hf_deepspeed_config

from llmtrain_api import Layout


@contextmanager
def sharded_from_the_start(config: dict[str, Any], layout: Layout) -> Iterator[None]:
    """While a model is loaded here, transformers shards each weight as it is read (``deepspeed.zero.Init``).

    AutoTP cuts whole matrices, so with tensor parallelism ZeRO 3 shards afterwards.

    Args:
        config: DeepSpeed's JSON.
        layout: decides whether anything is done.
    """
    if layout.zero < 3 or layout.tensor > 1:
        yield
        return
    # transformers keeps a weak reference only
    kept = HfDeepSpeedConfig(config)
    try:
        yield
    finally:
        del kept
        unset_hf_deepspeed_config()
