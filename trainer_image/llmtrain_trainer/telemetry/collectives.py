"""Time inside DeepSpeed's collectives.

DeepSpeed's own comms logger would wait for the GPU at every call, prints instead of counting, and misses
point-to-point messages; so its one backend object is wrapped instead. What that cannot see: collectives that
call torch.distributed directly (the checkpoint engine's, which count as checkpoint), and on a GPU what
overlaps with computing; there a collective's time is known in measured steps only (see `phases`). In compiled
layers a collective is part of the code: a clock beside it would cut that into pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import torch
import torch.distributed as dist

from .phases import Phase, Stopwatch

COLLECTIVES = (
    "all_reduce", "inference_all_reduce", "all_reduce_coalesced", "reduce", "reduce_scatter",
    "reduce_scatter_tensor", "broadcast", "broadcast_object_list", "all_gather", "all_gather_into_tensor",
    "all_gather_base", "all_gather_coalesced", "all_gather_object", "all_to_all_single", "all_to_all", "send",
    "recv", "isend", "irecv", "batch_isend_irecv", "gather", "scatter", "barrier",
)  # fmt: skip


MESSAGES = frozenset({"send", "recv", "isend", "irecv", "batch_isend_irecv"})
"""From one rank to another: no two ranks send the same ones."""


class TimedWork:
    """A collective under way; waiting for it is communication too."""

    def __init__(self, work: Any, watch: Stopwatch) -> None:
        self._work, self._watch = work, watch

    def wait(self, *arguments: Any, **named: Any) -> Any:
        """Wait for the end."""
        with self._watch(Phase.COMMUNICATION):
            return self._work.wait(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)


def time_collectives(backend: Any, watch: Stopwatch, world: int, entered: Callable[[str], None]) -> None:
    """Count the time in a DeepSpeed backend's collectives as communication.

    Only those that all ranks take part in are told, as each rank then has as many of them as any other.

    Args:
        backend: whose calls are wrapped.
        watch: counts.
        world: ranks of the gang.
        entered: is told the name of each that begins.
    """

    def timed(name: str, collective: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(collective)
        def call(*arguments: Any, **named: Any) -> Any:
            if torch.compiler.is_compiling():
                return collective(*arguments, **named)
            if name not in MESSAGES and _of_all((*arguments, *named.values()), world):
                entered(name)
            with watch(Phase.COMMUNICATION):
                work = collective(*arguments, **named)
            return TimedWork(work, watch) if hasattr(work, "wait") else work

        return call

    for name in COLLECTIVES:
        if hasattr(backend, name):
            setattr(backend, name, timed(name, getattr(backend, name)))


def _of_all(given: Iterable[Any], world: int) -> bool:
    """Whether all ranks take part in a call with these arguments: no group among them is a smaller one."""
    return all(one.size() == world for one in given if isinstance(one, dist.ProcessGroup))
