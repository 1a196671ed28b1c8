"""A trained adapter as peft opens it, and the model that it makes of its base."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from llmtrain_api import AdapterResult, AdapterSpec, JobFile, ModelShape, task_of

from ..data.store import Marker
from ..files import read_json, sha256, write_json
from ..models.adapters import A, B, configuration, transposed
from ..models.build import DTYPES
from ..models.headers import CONFIG
from ..models.source import Source
from ..models.start import start_weights
from ..models.stream import write_tensors
from .folder import GENERATION, say_of_ours

FOLDER = "adapter"
"""Folder of the adapter, in that of the export."""
FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
"""Before each name in peft's files."""


def write_adapter(job: JobFile, adapter: AdapterSpec, trained: Source, base: str, folder: Path) -> None:
    """Write ``adapter_config.json`` and the adapter's tensors.

    Args:
        job: the job.
        adapter: of the job.
        trained: the last checkpoint's weights, which are the adapters alone.
        base: where the frozen weights lie, for people.
        folder: to be made.
    """
    folder.mkdir(parents=True)
    configuration(job.spec, job.shape, adapter, base=base).save_pretrained(folder)
    tensors = {PREFIX + name: trained.read(name) for name in trained.names()}
    save_file(tensors, folder / FILE, metadata={"format": "pt"})


def told_of(folder: Path, data: Marker) -> AdapterResult:
    """What the status tells of an adapter.

    Args:
        folder: of the export.
        data: that it was trained on.
    """
    return AdapterResult(weights=sha256(folder / FOLDER / FILE), data=data.digest)


def write_merged(job: JobFile, adapter: AdapterSpec, trained: Source, base: Path, folder: Path) -> None:
    """Write the base with W + (alpha / rank) B A for each W that has an adapter, computed in fp32.

    Args:
        job: the job.
        adapter: of the job.
        trained: the last checkpoint's weights, which are the adapters alone.
        base: a Hugging Face folder.
        folder: to be made.

    Raises:
        ValueError: an adapter stands beside no weight of the base.
    """
    folder.mkdir(parents=True, exist_ok=True)
    begun = start_weights(base, task_of(job.spec, job.shape), job.spec.training.seed, adapted=True)
    dtype, source, adapted = DTYPES[job.spec.training.precision], begun.source, dict[str, str]()
    for weight in (f"{name.removesuffix(A)}weight" for name in trained.names() if name.endswith(A)):
        there = begun.found(weight)
        if there is None:
            raise ValueError(f"{base} has no {weight}, which an adapter was trained beside")
        adapted[there] = weight

    def merged(name: str) -> torch.Tensor:
        weight = source.read(name)
        if name not in adapted:
            return weight
        return weight.float() + delta(trained, adapted[name], adapter, job.shape)

    write_tensors(folder, {name: source.shape(name) for name in source.names()}, merged, dtype)
    config = read_json(base / CONFIG) or {}
    config.pop("torch_dtype", None)  # as older versions called it
    if job.spec.model.builtin:
        config["use_cache"] = True  # off in training; whoever reads the folder wants to generate
    write_json(folder / CONFIG, config | {"dtype": str(dtype).removeprefix("torch.")})
    if (base / GENERATION).exists():
        shutil.copyfile(base / GENERATION, folder / GENERATION)
    if job.spec.model.builtin:
        say_of_ours(folder, task_of(job.spec, job.shape))


def delta(trained: Source, name: str, adapter: AdapterSpec, shape: ModelShape) -> torch.Tensor:
    """What an adapter adds to a weight, in fp32 and in the weight's own orientation.

    Args:
        trained: the adapters.
        name: the model's name of the weight.
        adapter: rank and alpha.
        shape: of the model, which decides the orientation.
    """
    stem = name.removesuffix("weight")
    product = trained.read(stem + B).float() @ trained.read(stem + A).float()
    return adapter.scale * (product.T if transposed(shape) else product)


def open_adapter(base: Any, folder: Path) -> Any:
    """The adapter over its base, as whoever opens it with peft has it.

    Args:
        base: the model, which is changed.
        folder: of the export.
    """
    from peft import PeftModel

    return PeftModel.from_pretrained(base, folder / FOLDER).eval()
