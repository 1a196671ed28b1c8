"""Where an exported folder is computed: on the device that is there, at any size."""

from __future__ import annotations

from typing import Any

import torch

ROOM = 0.8
"""Of a device's free memory that weights may take."""
READ = 200 * 10**9
"""Bytes of weights that a generated sample may cost where each token has to read them once more."""


def device_of() -> torch.device:
    """The device that computes: a GPU, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def put_on(model: Any, device: torch.device, room: int | None = None) -> bool:
    """Put a model whose weights are mapped files where it is computed, one weight at a time.

    On a CPU it stays what it is: files. Where a device has no room for all of it, each layer comes when it is
    computed, and goes again.

    Args:
        model: just opened.
        device: where it is computed.
        room: bytes that it may take there; None for what is free.

    Returns:
        Whether all of it is there.
    """
    if device.type == "cpu" and room is None:
        return True
    if room is None:
        room = int(ROOM * torch.cuda.mem_get_info(device)[0])
    if weights_of(model) <= room:
        model.to(device)
        return True
    from accelerate import cpu_offload  # a second that only these exports pay

    cpu_offload(model, device)
    return False


def weights_of(model: Any) -> int:
    """Bytes of a model's weights; what is shared counts once."""
    return sum(p.numel() * p.element_size() for p in model.parameters())


def tokens_worth(weights: int, most: int, *, resident: bool, gpu: bool) -> int:
    """How long a sample may be, so that nobody waits for it for a minute.

    Args:
        weights: bytes of the model's.
        most: tokens.
        resident: whether all weights are where they are computed with.
        gpu: whether that is a device with memory that is fast.
    """
    return most if resident and gpu else max(1, min(most, READ // max(1, weights)))
