"""A model's tensors written to files of safetensors one after another: one of them in memory at a time.

The format is that of https://github.com/huggingface/safetensors: the length of the header in 8 bytes, a
header in JSON that tells each tensor's type, shape and place, then the tensors' bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from ..files import write_json
from .headers import INDEX, SINGLE

LARGEST = 5 * 10**9
"""Bytes of a file, at most, where no tensor is larger."""
CODES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
Shapes = dict[str, tuple[int, ...]]


def write_tensors(
    folder: Path,
    shapes: Shapes,
    read: Callable[[str], torch.Tensor],
    dtype: torch.dtype,
    largest: int = LARGEST,
) -> None:
    """Write tensors as a Hugging Face folder has them: one file, or several with an index.

    Args:
        folder: where; it exists.
        shapes: of all tensors, in the order in which they are written.
        read: a tensor by its name, asked for once.
        dtype: that they are written in.
        largest: bytes of a file.
    """
    files = _dealt(shapes, dtype.itemsize, largest)
    names = [SINGLE] if len(files) == 1 else [_numbered(at, len(files)) for at in range(len(files))]
    for name, part in zip(names, files, strict=True):
        _write(folder / name, part, read, dtype)
    if len(files) > 1:
        where = {tensor: name for name, part in zip(names, files, strict=True) for tensor in part}
        size = sum(_bytes(shape, dtype.itemsize) for shape in shapes.values())
        write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": where})


def _dealt(shapes: Shapes, width: int, largest: int) -> list[Shapes]:
    files: list[Shapes] = [{}]
    room = largest
    for name, shape in shapes.items():
        size = _bytes(shape, width)
        if size > room and files[-1]:
            files.append({})
            room = largest
        files[-1][name] = shape
        room -= size
    return files


def _write(path: Path, shapes: Shapes, read: Callable[[str], torch.Tensor], dtype: torch.dtype) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + _bytes(shape, dtype.itemsize)
        header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that tensors begin where a processor likes to read
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name, shape in shapes.items():
            tensor = read(name).detach().to("cpu", dtype).contiguous()
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} has shape {tuple(tensor.shape)} instead of {shape}")
            file.write(tensor.flatten().view(torch.uint8).numpy().data)


def _bytes(shape: tuple[int, ...], width: int) -> int:
    return int(torch.Size(shape).numel()) * width


def _numbered(at: int, files: int) -> str:
    return f"model-{at + 1:05d}-of-{files:05d}.safetensors"
