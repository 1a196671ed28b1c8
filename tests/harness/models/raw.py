"""Files of safetensors written byte by byte, so that each can be wrong in its own way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def header(tensors: dict[str, Any], *, pad: int = 0) -> bytes:
    """The length of a header, and the header."""
    body = json.dumps(tensors).encode() + b" " * pad
    return len(body).to_bytes(8, "little") + body


def tensor(start: int, stop: int, shape: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def write(path: Path, tensors: dict[str, Any], data: int | bytes = b"", *, pad: int = 0) -> Path:
    """A file; a number of data bytes is left as a hole, which takes no room on the disk."""
    head = header(tensors, pad=pad)
    with path.open("wb") as file:
        file.write(head)
        if isinstance(data, bytes):
            file.write(data)
        else:
            file.truncate(len(head) + data)
    return path


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456789\n"
"""What lies in a clone in place of a large file that was not downloaded."""
