"""How long a save holds training on a GPU, from a state on the card."""

from __future__ import annotations

import time

import torch
from bench.jobs import job_of
from bench.save_stall import stalls as measured_stalls

from llmtrain_trainer.checkpoint.host_memory import HostMemory
from llmtrain_trainer.checkpoint.snapshot import snapshot

from .measured import job, ours
from .runner import Context


def stalls(context: Context) -> None:
    """Saves in the loop and beside it, and what the copy to the host takes by itself."""
    spec = job("tiny" if context.tiny else "400M", micro=1, length=32)
    run = ours(spec)
    told = job_of(spec, context.folder)
    found = measured_stalls(told, run.ranks, run.engine, 1 if context.tiny else 3)
    context.say(found)
    state = dict(run.engine.raw.module.state_dict())
    moments = [
        value
        for held in run.engine.raw.optimizer.optimizer.state.values()
        for value in held.values()
        if isinstance(value, torch.Tensor) and value.dim()
    ]
    size = sum(one.numel() * one.element_size() for one in [*state.values(), *moments])
    kept, new = HostMemory(), [HostMemory(kept_for="none") for _ in range(2)]
    for name, rooms in (("new", new), ("kept", [kept, kept, kept])):
        context.say(
            {"bytes": size, "memory": name, "copy_seconds": [_copied([state, moments], one) for one in rooms]}
        )


def _copied(state: object, room: HostMemory) -> float:
    began = time.perf_counter()
    snapshot(state, room)
    room.give_back()
    return round(time.perf_counter() - began, 3)
