"""The estimate of memory beside what a GPU's allocator really gives, and what CUDA takes beside it."""

from __future__ import annotations

from typing import Any

import torch

from llmtrain_api import JobSpec, layout_of, shape_of
from llmtrain_api.estimate.memory import estimate

from .measured import job, ours
from .runner import Case, Context, wait


def cases(*, tiny: bool) -> list[Case]:
    """Sizes, stages and checkpointing; what does not fit says so and costs a few seconds."""
    if tiny:
        return [Case("memory tiny", 60, held, (job("tiny", micro=2, length=32),))]
    found = []
    for size, micro, length, zero, checkpointing, precision in (
        ("1B", 4, 2048, 1, False, "bf16"),
        ("1B", 8, 2048, 1, True, "bf16"),
        ("1B", 4, 2048, 2, False, "bf16"),
        ("1B", 4, 2048, 3, True, "bf16"),
        ("1B", 2, 2048, 0, False, "fp32"),
        ("1B", 2, 2048, 1, False, "fp32"),
        ("3B", 2, 4096, 2, True, "bf16"),
        ("3B", 1, 4096, 1, True, "bf16"),
    ):
        options = {"zeroStage": zero, "activationCheckpointing": checkpointing, "precision": precision}
        name = f"memory {size} {precision} zero{zero} micro {micro}{' checkpointed' if checkpointing else ''}"
        found.append(Case(name, 60, held, (job(size, micro=micro, length=length, **options),)))
    return found


def held(context: Context, spec: JobSpec) -> None:
    """Bytes after building, between backward pass and update, and at the peak of either."""
    gpu = torch.cuda.is_available()
    said: dict[str, Any] = {
        "parameters": shape_of(spec).parameters,
        "training": spec.training.to_json(),
    }
    expected = estimate(shape_of(spec), spec, layout_of(shape_of(spec), spec))
    said["estimate"] = vars(expected) | {"held": expected.held, "peak": expected.peak}
    try:
        _measure(said, spec, gpu)
    except torch.OutOfMemoryError as error:
        said["out_of_memory"] = str(error)[:300]
    if gpu and "out_of_memory" not in said:
        most = max(said[f"{what}_peak_1"] for what in ("backward", "update"))
        said["estimate_over_peak"] = round(expected.peak / most, 3)
    context.say(said)


def _measure(said: dict[str, Any], spec: JobSpec, gpu: bool) -> None:
    run = ours(spec)
    said["built"] = _now(gpu)
    for number in range(2):
        _reset(gpu)
        run.forward_backward()
        said[f"held_{number}"], said[f"backward_peak_{number}"] = _now(gpu), _peak(gpu)
        _reset(gpu)
        run.engine.step()
        said[f"update_peak_{number}"] = _peak(gpu)
        run.done += 1
    if gpu:
        free, total = torch.cuda.mem_get_info()
        said["reserved"] = torch.cuda.max_memory_reserved()
        said["context"] = total - free - torch.cuda.memory_reserved()
        said["total"] = total


def _now(gpu: bool) -> int:
    return torch.cuda.memory_allocated() if gpu else 0


def _peak(gpu: bool) -> int:
    return torch.cuda.max_memory_allocated() if gpu else 0


def _reset(gpu: bool) -> None:
    wait()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
