"""Joining the gang and agreeing in it. The only file that knows the backend."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import deepspeed
import torch
import torch.distributed as dist

TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Ranks:
    """This process's place in the gang.

    Attributes:
        entered: is told the name of each collective operation that this process enters.
    """

    rank: int
    world: int
    local_rank: int
    device: torch.device
    entered: Callable[[str], None] = field(default=lambda _: None, compare=False, repr=False)

    @property
    def first(self) -> bool:
        """Whether this is rank 0, the only one that commits and reports."""
        return self.rank == 0


def join(entered: Callable[[str], None] = lambda _: None) -> Ranks:
    """Join the process group that torchrun's environment describes.

    Args:
        entered: is told the name of each collective operation that this process enters.
    """
    # would compile C++ at start-up, and is used by inference only
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    deepspeed.init_distributed("nccl" if gpu else "gloo", timeout=TIMEOUT, verbose=False)
    return Ranks(dist.get_rank(), dist.get_world_size(), local, device, entered)


def all_reduce_sum(ranks: Ranks, *counts: int) -> list[int]:
    """Sums of whole numbers over all ranks: one message for all of them."""
    if ranks.world == 1:
        return list(counts)  # a message to oneself still waits for another thread
    sums = torch.tensor(counts, dtype=torch.int64, device=ranks.device)
    all_reduce_tensor(ranks, sums)
    return [int(v) for v in sums.tolist()]


def all_gather_text(ranks: Ranks, own: str) -> list[str]:
    """The text of every rank, by rank, as bytes: an object would travel as a pickle."""
    if ranks.world == 1:
        return [own]
    body = torch.tensor(list(own.encode()), dtype=torch.uint8, device=ranks.device)
    sizes = [0] * ranks.world
    sizes[ranks.rank] = len(body)
    sizes = all_reduce_sum(ranks, *sizes)
    longest = max(sizes)
    if not longest:
        return [""] * ranks.world
    sent = torch.nn.functional.pad(body, (0, longest - len(body)))
    parts = [torch.empty_like(sent) for _ in sizes]
    ranks.entered("all_gather")
    dist.all_gather(parts, sent)
    return [bytes(part[:size].tolist()).decode() for part, size in zip(parts, sizes, strict=True)]


def all_reduce_sum_float(ranks: Ranks, *values: float) -> list[float]:
    """Sums over all ranks."""
    if ranks.world == 1:
        return list(values)
    sums = torch.tensor(values, dtype=torch.float64, device=ranks.device)
    all_reduce_tensor(ranks, sums)
    return [float(v) for v in sums.tolist()]


def all_reduce_tensor(ranks: Ranks, tensor: torch.Tensor) -> None:
    """Sum a tensor over all ranks, in place."""
    if ranks.world > 1:
        ranks.entered("all_reduce")
        dist.all_reduce(tensor)


def all_equal(ranks: Ranks, digest: str) -> bool:
    """Whether every rank holds the same digest."""
    low = torch.tensor([int(digest[:15], 16)], dtype=torch.int64, device=ranks.device)
    high = low.clone()
    ranks.entered("all_reduce")
    dist.all_reduce(low, dist.ReduceOp.MIN)
    ranks.entered("all_reduce")
    dist.all_reduce(high, dist.ReduceOp.MAX)
    return bool(low == high)


def barrier() -> None:
    """Wait for all ranks."""
    dist.barrier()


def leave() -> None:
    """Leave the process group; never after a failure, where it could wait for the dead."""
    dist.destroy_process_group()
