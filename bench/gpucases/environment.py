"""What machine this is, and whether the trainer takes a step on it at all."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from harness.layouts.rows import Row
from harness.layouts.worker import EOS, tokens
from harness.ports import free_port

from llmtrain_api import Layout, Precision, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.loader import Batches
from llmtrain_trainer.models.build import write_initial
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.tasks import OURS, encoder
from llmtrain_trainer.telemetry import device, flops

from .runner import Context, alone, wait

PACKAGES = ("torch", "triton", "transformers", "deepspeed", "accelerate", "safetensors", "numpy", "peft")
IMPORTS = ("torch", "transformers", "deepspeed", "llmtrain_trainer.training.loop")


def look(context: Context) -> None:
    """Versions, the card and its ceilings."""
    found: dict[str, Any] = {"python": sys.version.split()[0], "cores": os.cpu_count()}
    found["kernel"] = platform.release()
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    found["devices"] = sorted(path.name for path in Path("/dev").glob("nvidia*"))
    found["visible"] = os.environ.get("CUDA_VISIBLE_DEVICES")
    context.say(found)
    if torch.cuda.is_available():
        context.say(_card())
    else:
        context.say({"matmul_tflops": _matmul(256, torch.float32, torch.device("cpu"))})


def imports(context: Context) -> None:
    """How long a process takes until it has imported what a rank needs."""
    for module in IMPORTS[:1] if context.tiny else IMPORTS:
        began = time.perf_counter()
        code = f"import {module}"
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, check=False)
        seconds = round(time.perf_counter() - began, 2)
        context.say({"import": module, "seconds": seconds, "code": done.returncode})


def _card() -> dict[str, Any]:
    gpu = torch.device("cuda", 0)
    free, total = torch.cuda.mem_get_info()
    properties = torch.cuda.get_device_properties(gpu)
    found: dict[str, Any] = {
        "card": torch.cuda.get_device_name(gpu),
        "bytes": total,
        "context_bytes": total - free - torch.cuda.memory_reserved(),
        "capability": f"{properties.major}.{properties.minor}",
        "nccl": ".".join(map(str, torch.cuda.nccl.version())),  # type: ignore[no-untyped-call]
        "peak_flops": flops.peak_flops(torch.cuda.get_device_name(gpu), Precision.BF16),
        "matmul_tflops": _matmul(8192, torch.bfloat16, gpu),
    }
    for name, pinned in (("pageable", False), ("pinned", True)):
        host = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=pinned).fill_(1)
        found[f"to_gpu_{name}_gb_s"] = _rate(lambda host=host: host.to(gpu, non_blocking=True), 1 << 28)
        card = torch.ones(1 << 28, dtype=torch.uint8, device=gpu)
        copy = lambda host=host, card=card: host.copy_(card, non_blocking=True)  # noqa: E731
        found[f"from_gpu_{name}_gb_s"] = _rate(copy, 1 << 28)
    found["tf32_rotary_error_rad"], found["fp32_rotary_error_rad"] = map(_rotary_error, (True, False))
    return found


def _rotary_error(tf32: bool) -> float:
    """The largest error of an angle of rotary positions below 8,192, as transformers multiplies them."""
    frequencies = 500_000.0 ** -(torch.arange(0, 64, dtype=torch.float64) / 64)
    places = torch.arange(8192, dtype=torch.float64)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    gpu = (frequencies.float()[None, :, None].cuda() @ places.float()[None, None, :].cuda()).cpu().double()
    torch.backends.cuda.matmul.allow_tf32 = False
    return float((gpu[0] - torch.outer(frequencies, places)).abs().max())


def _rate(copy: Any, size: int) -> float:
    copy()
    wait()
    began = time.perf_counter()
    for _ in range(4):
        copy()
    wait()
    return round(4 * size / (time.perf_counter() - began) / 1e9, 1)


def _matmul(size: int, dtype: torch.dtype, where: torch.device) -> float:
    a, b = (torch.randn(size, size, device=where, dtype=dtype) for _ in range(2))
    for _ in range(3):
        a @ b
    wait()
    began = time.perf_counter()
    for _ in range(10):
        a @ b
    wait()
    return round(20 * size**3 / (time.perf_counter() - began) / 1e12, 1)


def first_steps(context: Context) -> None:
    """Three steps in each ZeRO stage with everything that warns told."""
    alone(free_port())
    ranks = distributed.join()
    for zero in (0, 1) if context.tiny else (0, 1, 2, 3):
        row = Row("llama", Layout(zero=zero), 4)
        folder = context.folder / f"zero{zero}"
        spec = row.spec(clipping=0.5)
        training = spec.training
        write_initial(spec, shape_of(spec), EOS, folder)
        began = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            place = row.layout.place(0)
            plan = BatchPlan(training.global_batch_size, training.micro_batch_size, 1)
            engine, _ = build(folder, spec, shape_of(spec), row.layout, place, plan, 5)
            engine.watch = device.stopwatch(ranks)
            rows = tokens()
            length = Length(len(rows), training.global_batch_size, 5, None)
            batches = Batches(rows, plan, length, training.seed, encoder(spec, shape_of(spec), OURS))
            losses = []
            for step in range(3):
                passes = batches.at(step, place, ranks.device)
                labels = engine.labels(passes)
                losses.append(float(engine.forward_backward(passes, labels)) / labels)
                engine.step()
            where = next(engine.raw.module.parameters()).device
        said = sorted({f"{one.category.__name__}: {one.message}"[:300] for one in caught})
        seconds = round(time.perf_counter() - began, 2)
        context.say({"zero": zero, "losses": losses, "device": where, "seconds": seconds, "warnings": said})
        assert all(0 < one < 20 for one in losses), losses
    distributed.leave()
