"""The whole model's weights as files of safetensors, from whatever layout holds them."""

from __future__ import annotations

import errno
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..files import fsync_file, read_json, write_json
from ..models.headers import INDEX
from ..parallel.engine import Engine


def write_whole(engine: Engine, folder: Path) -> list[str]:
    """Write the weights, all ranks together: one file a pipeline stage, and an index that names them all.

    One tensor is gathered at a time; only the ranks that write hold on to it.

    Returns:
        Names of the files that this rank wrote.

    Raises:
        OSError: the disk refused; no other rank waits for this one then.
    """
    place, layout = engine.place, engine.layout
    writes = place.data == place.tensor == place.sequence == 0
    kept: dict[str, torch.Tensor] = {}
    for name, parameter in engine.named_parameters():
        whole = engine.whole_weight(name, parameter)
        if writes:
            kept[name] = whole.to("cpu").contiguous().clone()
    if not writes:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / _file(place.pipeline, layout.pipeline)
    try:
        save_file(kept, file, metadata={"format": "pt"})
        fsync_file(file)
    except SafetensorError as error:  # Rust hides the errno
        raise OSError(errno.ENOSPC if "code: 28" in str(error) else errno.EIO, str(error)) from error
    names = names_of(place.pipeline)
    write_json(folder / names, {"names": sorted(kept)})
    return [file.name, names]


def write_index(folder: Path, stages: int) -> None:
    """Write the index over all stages' files. Shared embeddings are in two of them; either will do."""
    where = {
        name: _file(stage, stages)
        for stage in range(stages)
        for name in (read_json(folder / names_of(stage)) or {})["names"]
    }
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": where})


def _file(stage: int, stages: int) -> str:
    return f"model-{stage + 1:05d}-of-{stages:05d}.safetensors"


def names_of(stage: int) -> str:
    """The list of a stage's weights."""
    return f"names-{stage}.json"
