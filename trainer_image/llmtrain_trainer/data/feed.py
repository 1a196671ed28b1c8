"""Batches of one step after another, made on the host while a GPU computes the step before."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from .loader import Pass


class Feed:
    """Hands out the passes of a step. What they are depends on the step alone, so any step may be asked for.

    On a GPU a thread makes the next step's ahead, in page-locked memory, from which they are copied while the
    host goes on. On a CPU a thread would only take cores from the step.

    Args:
        make: the passes of the step that follows so many finished ones, in the host's memory.
        steps: of the whole job; none beyond is made.
        device: where they are computed.
        ahead: whether to make them ahead; None = on a GPU.
    """

    def __init__(
        self,
        make: Callable[[int], list[Pass]],
        steps: int,
        device: torch.device,
        *,
        ahead: bool | None = None,
    ) -> None:
        self._make, self._steps, self._device = make, steps, device
        self._gpu = device.type == "cuda"
        use = self._gpu if ahead is None else ahead
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed") if use else None
        self._next: tuple[int, Future[list[Pass]]] | None = None

    def take(self, step: int) -> list[Pass]:
        """The passes of the step that follows ``step`` finished ones, in the host's memory.

        Raises:
            Exception: whatever making them raises, at the step that they are for.
        """
        if self._thread is None:
            return self._prepared(step)
        made, self._next = self._next, None
        if made is None or made[0] != step:  # the first one, or another one after a rewind
            made = step, self._thread.submit(self._prepared, step)
        passes = made[1].result()
        if step + 1 < self._steps:
            self._next = step + 1, self._thread.submit(self._prepared, step + 1)
        return passes

    def move(self, passes: list[Pass]) -> list[Pass]:
        """The same passes where they are computed."""
        where = self._device
        return [
            (
                {name: value.to(where, non_blocking=self._gpu) for name, value in inputs.items()},
                labels.to(where, non_blocking=self._gpu),
            )
            for inputs, labels in passes
        ]

    def close(self) -> None:
        """Make nothing from now on."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _prepared(self, step: int) -> list[Pass]:
        passes = self._make(step)
        if not self._gpu:
            return passes
        return [
            ({name: value.pin_memory() for name, value in inputs.items()}, labels.pin_memory())
            for inputs, labels in passes
        ]
