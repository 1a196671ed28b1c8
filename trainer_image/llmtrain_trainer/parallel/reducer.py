"""Gradients of whole models, summed over all ranks while the backward pass goes on.

A rank's gradients lie in a few flat buckets that last as long as training does, in the order in which a
backward pass is done with them. In the last pass of a step a bucket is sent as soon as it is whole, all
buckets in one order on every rank.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import deepspeed
import torch

LARGEST = 8_000_000
"""Numbers of a bucket at most, 32 MB: enough that few messages are sent, and few enough that the first ones
travel while the backward pass has most of its work before it."""


def buckets_of(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Which parameters share a bucket, by their place in the model; the last one comes first.

    Args:
        sizes: numbers of each parameter, in the model's order.
        room: numbers of a bucket. A parameter that is larger has one of its own.
    """
    found = list[list[int]]()
    left = 0
    for place in reversed(range(len(sizes))):
        if not found or sizes[place] > left:
            found.append([])
            left = room
        found[-1].append(place)
        left -= sizes[place]
    return found


class _Bucket:
    """A flat tensor of gradients, and how many of its parameters the last pass has still to finish."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        first = parameters[0]
        self.parameters = parameters
        self.flat = torch.zeros(sum(p.numel() for p in parameters), dtype=first.dtype, device=first.device)
        parts = torch.split(self.flat, [p.numel() for p in parameters])
        self.views = [part.view(p.shape) for part, p in zip(parts, parameters, strict=True)]
        self.missing = len(parameters)

    def attach(self) -> None:
        """Set the sum to zero and have each parameter add its gradient to it."""
        self.flat.zero_()
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.grad = view


class GradientReducer:
    """Adds up each parameter's gradient over the passes of a step and over all ranks.

    Args:
        parameters: that are trained, in the model's order, which is the same on every rank.
        room: numbers of a bucket.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], room: int) -> None:
        trained = [p for p in parameters if p.requires_grad]
        shared = buckets_of([p.numel() for p in trained], min(room, LARGEST))
        self._buckets = [_Bucket([trained[place] for place in places]) for places in shared]
        self._attached = self._last = False
        self._next = 0
        self._sent = list[Any]()
        for number, bucket in enumerate(self._buckets):
            arrived = partial(self._arrived, number)
            for parameter in bucket.parameters:
                parameter.register_post_accumulate_grad_hook(arrived)  # type: ignore[no-untyped-call]

    @property
    def sums(self) -> list[torch.Tensor]:
        """The flat buckets."""
        return [bucket.flat for bucket in self._buckets]

    def begin(self) -> None:
        """Start sums of a new step at zero; between the passes of one it does nothing."""
        if self._attached:
            return
        for bucket in self._buckets:
            bucket.attach()
        self._attached = True

    def end(self) -> None:
        """The step is over, and its gradients are used."""
        self._attached = False

    @contextmanager
    def last_pass(self) -> Iterator[None]:
        """While the step's last backward pass runs: afterwards the sums are those of all ranks.

        A bucket of parameters that nothing depended on in this pass is sent at the end.
        """
        self._last, self._next = True, 0
        for bucket in self._buckets:
            bucket.missing = len(bucket.parameters)
        try:
            yield
        finally:
            self._last = False
        self._send(len(self._buckets))
        while self._sent:
            self._sent.pop(0).wait()

    def _arrived(self, number: int, _parameter: torch.Tensor) -> None:
        """A parameter of a bucket has this pass's gradient."""
        if not self._last:
            return
        self._buckets[number].missing -= 1
        whole = self._next
        while whole < len(self._buckets) and not self._buckets[whole].missing:
            whole += 1
        self._send(whole)

    def _send(self, whole: int) -> None:
        """Send the buckets before one that were not sent, in this order: or ranks would sum other ones."""
        for bucket in self._buckets[self._next : whole]:
            self._sent.append(deepspeed.comm.all_reduce(bucket.flat, async_op=True))
        self._next = max(self._next, whole)
