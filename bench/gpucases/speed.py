"""Tokens a second and MFU of the trainer beside a loop by hand, and where a step's time goes."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from llmtrain_api import JobSpec, shape_of
from llmtrain_api.estimate.flops import sequence_flops
from llmtrain_trainer.telemetry.flops import peak_flops

from .measured import job, ours, plain, timed
from .runner import Case, Context, wait


def cases(*, tiny: bool) -> list[Case]:
    """By turns, the best known ways first; then small batches, which show what the host costs."""
    size = "tiny" if tiny else "1B"
    micro, length = (2, 32) if tiny else (8, 2048)
    eager, compiled = (job(size, micro=micro, length=length, compile=one) for one in (False, True))
    small, rebuilt = (job(size, micro=1, length=length, compile=one) for one in (False, True))
    less = job(size, micro=micro, length=length, compile=True, activationCheckpointing=True)
    partly = job(size, micro=micro, length=length, compile=True, activationCheckpointingMode="selective")
    chunked = job(size, micro=micro, length=length, compile=True, chunkedLogits=True)
    found = [
        Case("speed ours compiled", 120, race, ("ours", compiled)),
        Case("speed plain compiled", 120, race, ("plain", compiled)),
        Case("speed ours eager", 90, race, ("ours", eager)),
        Case("speed plain eager", 90, race, ("plain", eager)),
        Case("speed ours compiled micro 1", 90, race, ("ours", rebuilt)),
        Case("speed plain compiled micro 1", 90, race, ("plain", rebuilt)),
        Case("speed ours micro 1", 60, race, ("ours", small)),
        Case("speed ours compiled checkpointed", 90, race, ("ours", less)),
        Case("speed ours compiled selective", 90, race, ("ours", partly)),
        Case("speed ours compiled chunked logits", 90, race, ("ours", chunked)),
    ]
    return found[2:4] if tiny else found


def race(
    context: Context,
    who: str,
    spec: JobSpec,
    attention: str | None = None,
    change: Callable[[Any], None] | None = None,
) -> None:
    """Steps of one contestant, timed, then profiled; see `ours` for the last two arguments."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1" if context.tiny else "8"
    began = time.perf_counter()
    step = ours(spec, attention, change).step if who == "ours" else plain(spec)
    built = time.perf_counter()
    step()
    first = time.perf_counter()
    seconds = timed(step, 1 if context.tiny else 3, 2 if context.tiny else 10)
    tokens = spec.training.global_batch_size * spec.training.sequence_length
    middle = statistics.median(seconds)
    shape = shape_of(spec)
    flops = sequence_flops(shape, spec.training.sequence_length) * spec.training.global_batch_size / middle
    gpu = torch.cuda.is_available()
    peak = peak_flops(torch.cuda.get_device_name(), spec.training.precision) if gpu else None
    found = {
        "who": who,
        "parameters": shape.parameters,
        "micro": spec.training.micro_batch_size,
        "length": spec.training.sequence_length,
        "compile": spec.training.compile,
        "checkpointing": spec.training.recompute,
        "chunked_logits": spec.training.chunked_logits,
        "packing": spec.training.packing,
        "attention": attention,
        "tokens_per_second": round(tokens / middle),
        "step_seconds": [round(one, 4) for one in seconds],
        "mfu": None if peak is None else round(flops / peak, 4),
        "build_seconds": round(built - began, 1),
        "first_step_seconds": round(first - built, 1),
        "peak_bytes": torch.cuda.max_memory_allocated() if gpu else None,
    }
    context.say(found)
    if gpu:
        context.say({"profile": profiled(step)})


def profiled(step: Callable[[], None], steps: int = 3) -> dict[str, Any]:
    """What the GPU does in a step, and what the host waits for."""
    from torch.autograd import DeviceType  # type: ignore[attr-defined]
    from torch.profiler import ProfilerActivity, profile

    wait()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        wall = time.perf_counter() - began
    kernels: dict[str, tuple[float, int]] = {}
    waits: dict[str, int] = {}
    spans = []
    for event in seen.events():
        if event.device_type == DeviceType.CUDA:
            spent, count = kernels.get(event.name[:80], (0.0, 0))
            kernels[event.name[:80]] = (spent + event.time_range.elapsed_us(), count + 1)
            spans.append((event.time_range.start, event.time_range.end))
        elif event.name in (
            "cudaStreamSynchronize",
            "cudaDeviceSynchronize",
            "cudaMemcpyAsync",
            "aten::item",
        ):
            waits[event.name] = waits.get(event.name, 0) + 1
    busy, until = 0.0, 0.0
    for start, end in sorted(spans):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    most = sorted(kernels.items(), key=lambda one: -one[1][0])[:14]
    return {
        "step_seconds": round(wall / steps, 4),
        "gpu_busy_share": round(busy / 1e6 / wall, 4),
        "host_calls_a_step": {name: round(count / steps, 1) for name, count in waits.items()},
        "kernels": [
            {"name": name, "ms_a_step": round(spent / 1e3 / steps, 2), "count": round(count / steps, 1)}
            for name, (spent, count) in most
        ],
    }
