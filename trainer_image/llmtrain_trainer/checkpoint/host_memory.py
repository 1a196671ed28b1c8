"""The host's memory that copies of a GPU's tensors go into: page-locked, and kept from save to save."""

from __future__ import annotations

from collections.abc import Callable

import torch

WORTH_LOCKING = 1 << 20
"""Bytes: what is smaller is copied in no time anyway."""
Key = tuple[torch.Size, torch.dtype]


def lock_pages(buffer: torch.Tensor) -> bool:
    """Let the GPU write straight into this memory; whether the system allows that.

    Registered as it is: torch's own page-locked memory is rounded up to a power of two, up to twice the size.
    """
    size = buffer.numel() * buffer.element_size()
    return int(torch.cuda.cudart().cudaHostRegister(buffer.data_ptr(), size, 0)) == 0  # type: ignore[no-untyped-call]


class HostMemory:
    """Room for copies, by shape and number format.

    New memory costs a page fault for every 4 KiB, and the GPU may not write into it: together six times the
    copy itself. So on a GPU what one save was copied into serves the next. On a CPU each copy gets memory of
    its own, which is free again as soon as it is written.

    Args:
        kept_for: the type of device whose copies' memory is kept.
        lock: makes memory page-locked; memory that it refuses works too, slower.
    """

    def __init__(self, kept_for: str = "cuda", lock: Callable[[torch.Tensor], bool] = lock_pages) -> None:
        self._kept_for, self._lock = kept_for, lock
        self._free: dict[Key, list[torch.Tensor]] = {}
        self._lent: list[tuple[Key, torch.Tensor]] = []

    def copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy in the host's memory; complete once `wait` has returned."""
        if tensor.device.type != self._kept_for:
            return torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        key = tensor.shape, tensor.dtype
        free = self._free.get(key)
        room = free.pop() if free else self._new(key)
        self._lent.append((key, room))
        return room.copy_(tensor.detach(), non_blocking=True)

    def wait(self) -> None:
        """Until all copies are complete."""
        if self._lent and self._kept_for == "cuda":
            torch.cuda.synchronize()

    def give_back(self) -> None:
        """Nobody needs the copies made so far any more: their memory may be used again."""
        for key, room in self._lent:
            self._free.setdefault(key, []).append(room)
        self._lent = []

    def _new(self, key: Key) -> torch.Tensor:
        room = torch.empty(key[0], dtype=key[1])
        if room.numel() * room.element_size() >= WORTH_LOCKING:
            self._lock(room)
        return room
