"""A model's tensors written to files of safetensors one after another: one of them in memory at a time.

The format is that of https://github.com/huggingface/safetensors: the length of the header in 8 bytes, a
header in JSON that tells each tensor's type, shape and place, then the tensors' bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..files import write_json
from ..sink import Sink
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
    files = dealt(shapes, dtype.itemsize, largest)
    names = [SINGLE] if len(files) == 1 else [numbered(at, len(files)) for at in range(len(files))]
    for name, part in zip(names, files, strict=True):
        with TensorFile(folder / name, part, dtype) as file:
            for tensor in part:
                file.add(tensor, read(tensor))
    if len(files) > 1:
        write_index(folder, dict(zip(names, files, strict=True)), dtype.itemsize)


def write_index(folder: Path, files: Mapping[str, Shapes], width: int) -> None:
    """Write which tensor is in which file.

    Args:
        folder: of the files.
        files: the tensors of each by its name.
        width: bytes of a number.
    """
    where = {tensor: name for name, part in files.items() for tensor in part}
    size = sum(_bytes(shape, width) for part in files.values() for shape in part.values())
    write_json(folder / INDEX, {"metadata": {"total_size": size}, "weight_map": where})


def dealt(shapes: Shapes, width: int, largest: int = LARGEST) -> list[Shapes]:
    """Tensors in their order as files: a new one where the next tensor would make one too large.

    Args:
        shapes: of all tensors.
        width: bytes of a number.
        largest: bytes of a file, where no tensor is larger.
    """
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


class TensorFile:
    """One file of safetensors, written a tensor at a time, in the order that its header says.

    Args:
        path: of the file; its folder exists.
        shapes: of its tensors, in their order.
        dtype: that all of them are written in.

    Raises:
        OSError: the disk refuses it; so does each method.
    """

    def __init__(self, path: Path, shapes: Shapes, dtype: torch.dtype) -> None:
        self.dtype, self._left = dtype, list(shapes.items())
        self._sink = Sink(path)
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name, shape in shapes.items():
            begin, end = end, end + _bytes(shape, dtype.itemsize)
            header[name] = {"dtype": CODES[dtype], "shape": list(shape), "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)  # so that tensors begin where a processor likes to read
        self._put(len(text).to_bytes(8, "little") + text)

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._sink.close()

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Write the next tensor, from wherever it is.

        Raises:
            ValueError: it is not the next one, or has another shape.
        """
        expected, shape = self._left.pop(0)
        if name != expected:
            raise ValueError(f"{name} comes before {expected}, which the header says is next")
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)} instead of {shape}")
        whole = tensor.detach().to("cpu", self.dtype).contiguous()
        self._put(whole.flatten().view(torch.uint8).numpy().data)

    @property
    def whole(self) -> bool:
        """Whether all its tensors are there."""
        return not self._left

    def sync(self) -> dict[str, Any]:
        """Force it to the disk; its line of a manifest, with the digest of what was meant."""
        return self._sink.sync()

    def close(self) -> None:
        """Close the file."""
        self._sink.close()

    def _put(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            view = view[self._sink.write(view) :]


def _bytes(shape: tuple[int, ...], width: int) -> int:
    return int(torch.Size(shape).numel()) * width


def numbered(at: int, files: int) -> str:
    """The name of one of several files, as Hugging Face names them."""
    return f"model-{at + 1:05d}-of-{files:05d}.safetensors"
