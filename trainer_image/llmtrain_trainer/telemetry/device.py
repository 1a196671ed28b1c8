"""What a rank's device can do at most, and the clock for what it does."""

from __future__ import annotations

from collections.abc import Callable

import deepspeed
import torch

from llmtrain_api import Precision

from ..distributed import Ranks
from . import flops
from .collectives import time_collectives
from .phases import Phase, Stopwatch


def stopwatch(ranks: Ranks, changed: Callable[[Phase], None] = lambda _: None) -> Stopwatch:
    """A stopwatch for this rank's work; it counts the collectives of DeepSpeed, which has begun.

    Args:
        ranks: of the gang.
        changed: is told of every change of the phase.
    """
    gpu = ranks.device.type == "cuda"
    watch = Stopwatch((lambda: torch.cuda.synchronize(ranks.device)) if gpu else None, changed=changed)
    time_collectives(deepspeed.comm.comm.cdb, watch, ranks.world, ranks.entered)
    return watch


def peak_flops(ranks: Ranks, precision: Precision) -> float | None:
    """FLOP/s of one device at most; None where that is not known."""
    gpu = ranks.device.type == "cuda"
    return flops.peak_flops(torch.cuda.get_device_name(ranks.device) if gpu else None, precision)
