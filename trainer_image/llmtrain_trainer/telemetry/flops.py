"""What share of a GPU's peak a training run reaches. How much arithmetic a model needs: `estimate.flops`."""

from __future__ import annotations

import re

from llmtrain_api import Precision

PEAK_FLOPS: dict[str, float] = {
    r"NVIDIA H100.* HBM3": 989e12,
    r"NVIDIA H200": 989e12,
    r"NVIDIA B200": 2250e12,
}
"""bf16 dense peak by GPU name, FLOP/s. SXM parts only: a PCIe or NVL part of the same name is slower."""


def peak_flops(device: str | None, precision: Precision) -> float | None:
    """FLOP/s that a device could do at most; None where no share of it would mean anything.

    Args:
        device: the GPU's name as CUDA tells it; None = CPU.
        precision: the table holds for bf16 only.
    """
    if device is None or precision is not Precision.BF16:
        return None
    return next((peak for name, peak in PEAK_FLOPS.items() if re.fullmatch(name, device)), None)


def mfu(flops_per_second: float, devices: int, peak: float | None) -> float | None:
    """Model FLOPs utilization: model FLOP/s of the gang over the peak of its devices, 0 to 1."""
    return None if peak is None else flops_per_second / (devices * peak)
