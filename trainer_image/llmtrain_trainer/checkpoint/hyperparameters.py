"""What a job says of its optimizer, held over the load of a checkpoint that may have been written under other
words: a job that goes on from another one's step, or with more steps, trains by its own learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..parallel.engine import Engine

OWN = ("initial_lr", "weight_decay", "betas", "eps")
"""Entries of a parameter group that the spec decides."""


@contextmanager
def kept(engine: Engine) -> Iterator[None]:
    """Load within this: afterwards rates and decay are the job's, at the step that was loaded.

    Where the checkpoint was written by the same words the values are the very same, bit for bit.
    """
    scheduler = engine.raw.lr_scheduler
    rates = list(scheduler.base_lrs)
    own = [{name: group[name] for name in OWN if name in group} for group in _groups(engine)]
    yield
    scheduler.base_lrs = rates
    now = [
        rate * share(scheduler.last_epoch) for rate, share in zip(rates, scheduler.lr_lambdas, strict=True)
    ]
    for group, said, rate in zip(_groups(engine), own, now, strict=True):
        group.update(said, lr=rate)
    scheduler._last_lr = now


def _groups(engine: Engine) -> list[dict[str, Any]]:
    # the schedule's is the plain optimizer in every layout, whatever DeepSpeed wraps it into
    groups: list[dict[str, Any]] = engine.raw.lr_scheduler.optimizer.param_groups
    return groups
