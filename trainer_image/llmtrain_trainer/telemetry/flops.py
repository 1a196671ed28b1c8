"""What share of a GPU's peak a training run reaches. How much arithmetic a model needs: `estimate.flops`."""

from __future__ import annotations

import re

from llmtrain_api import Precision

PEAK_FLOPS: dict[str, float] = {
    r"NVIDIA A100(-SXM4-\d+GB|-PCIE-\d+GB| 80GB PCIe)": 312e12,  # A100 datasheet: the same for SXM and PCIe
    r"NVIDIA L40S": 362e12,  # L40S datasheet
    r"NVIDIA H100.* HBM3": 989e12,  # H100 datasheet, SXM
    r"NVIDIA H100 PCIe": 756e12,  # H100 PCIe product brief
    r"NVIDIA H100 NVL": 835e12,  # H100 datasheet, NVL
    r"NVIDIA H200": 989e12,  # H200 datasheet, SXM
    r"NVIDIA H200 NVL": 835e12,  # H200 datasheet, NVL
    r"NVIDIA B200": 2250e12,  # HGX B200 datasheet, an eighth of eight GPUs
    r"AMD Instinct MI300X( OAM)?": 1307e12,  # MI300X datasheet
}
"""Peak by GPU name as torch tells it, FLOP/s, in bf16 and fp16 alike: dense, so half of what a datasheet says
"with sparsity". Behind each the vendor's paper that has it."""


def peak_flops(device: str | None, precision: Precision) -> float | None:
    """FLOP/s that a device could do at most; None where no share of it would mean anything.

    Args:
        device: the GPU's name as CUDA or ROCm tells it; None = CPU.
        precision: the table holds for bf16 and fp16 only.
    """
    if device is None or precision is Precision.FP32:
        return None
    return next((peak for name, peak in PEAK_FLOPS.items() if re.fullmatch(name, device)), None)


def mfu(flops_per_second: float, devices: int, peak: float | None) -> float | None:
    """Model FLOPs utilization: model FLOP/s of the gang over the peak of its devices, 0 to 1."""
    return None if peak is None else flops_per_second / (devices * peak)
