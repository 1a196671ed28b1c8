"""How long a save holds training on a GPU, from a state on the card."""

from __future__ import annotations

import statistics
import time

import torch
from bench.save_stall import job_of
from bench.save_stall import stalls as measured_stalls

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
    context.say({"bytes": size, "copy_seconds": [round(_copied([state, moments]), 3) for _ in range(3)]})
    if torch.cuda.is_available():
        context.say({"bytes": size, "pinned_copy_seconds": _pinned([*state.values(), *moments])})


def _copied(state: object) -> float:
    began = time.perf_counter()
    snapshot(state)
    return time.perf_counter() - began


def _pinned(tensors: list[torch.Tensor]) -> dict[str, float]:
    """Into buffers of locked memory that are kept from save to save: made once, copied into by turns."""
    began = time.perf_counter()
    buffers = [torch.empty(one.shape, dtype=one.dtype, pin_memory=True) for one in tensors]
    made, took = time.perf_counter(), []
    for _ in range(3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for buffer, one in zip(buffers, tensors, strict=True):
            buffer.copy_(one, non_blocking=True)
        torch.cuda.synchronize()
        took.append(time.perf_counter() - start)
    return {"made": round(made - began, 3), "copied": round(statistics.median(took), 3)}
