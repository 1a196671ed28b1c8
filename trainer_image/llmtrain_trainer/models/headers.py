"""Which tensor lies where in files of safetensors, from their headers alone. Standard library only.

A file begins with the length of its header (8 bytes, little-endian), then the header: JSON that gives each
tensor's dtype, shape and place (https://github.com/huggingface/safetensors#format). Whoever wrote the files
is not trusted: what is read stays within bounds, and every figure is checked before it is used.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

from ..errors import ConfigError
from ..files import stays_inside
from ..git_lfs import LONGEST, require_content

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
CONFIG = "config.json"
DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4,
    "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8,
}  # fmt: skip
"""Bytes of one number, by the dtype's name in a header."""
MAX_JSON = 64 << 20
"""Bytes of an index, or of one file's header, at most."""
MAX_TENSORS = 200_000
MAX_FILES = 10_000
MAX_NAME = 512
MAX_DIMENSIONS = 8
PREFIX = 8
PICKLES = re.compile(r".*\.(bin|pt|pth|ckpt|pkl|pickle)")
OTHER_FORMATS = re.compile(r".*\.(gguf|h5|msgpack|onnx|npz)")
_NAME = re.compile(r"[\x21-\x7e]+")


class Files(Protocol):
    """The files of a model, wherever they lie.

    Attributes:
        where: what messages call the place: the field with its value, or a folder.
    """

    where: str

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its name in the folder."""

    def versions(self) -> dict[str, str] | None:
        """What differs once a file's content does, by its name; None where the place is one commit."""

    def read(self, name: str, start: int, stop: int) -> bytes:
        """The bytes of a file from ``start`` to before ``stop``; fewer where it ends."""


class LocalFiles:
    """The files of a folder. Those of sub-folders are not the model's.

    Args:
        folder: as this process sees it.
        where: what messages call it; by default its path.
    """

    def __init__(self, folder: Path, where: str = "") -> None:
        self.folder, self.where = folder, where or str(folder)

    def sizes(self) -> dict[str, int]:
        """See `Files`.

        Raises:
            ConfigError: there is no such folder, or it may not be read.
        """
        return {name: seen.st_size for name, seen in self._seen().items()}

    def versions(self) -> dict[str, str]:
        """See `Files`: the size and the time of the last change.

        Raises:
            ConfigError: there is no such folder, or it may not be read.
        """
        return {name: f"{seen.st_size} {seen.st_mtime_ns}" for name, seen in self._seen().items()}

    def _seen(self) -> dict[str, os.stat_result]:
        try:
            return {path.name: path.stat() for path in self.folder.iterdir() if path.is_file()}
        except OSError as error:
            raise ConfigError(
                f"{self.where} is no folder that can be read: {error.strerror}",
                "name the folder that holds config.json and model.safetensors",
            ) from None

    def read(self, name: str, start: int, stop: int) -> bytes:
        """See `Files`."""
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies.

    Attributes:
        file: the name of its file in the folder.
        dtype: its dtype as headers name it, such as ``BF16``.
        shape: its dimensions.
        start: its first byte in the file.
    """

    file: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    @property
    def numbers(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """How long it is in the file."""
        return self.numbers * DTYPE_BYTES[self.dtype]


def read_headers(files: Files) -> dict[str, Entry]:
    """The place of every tensor of a model by its name.

    Raises:
        ConfigError: no safetensors, or files that are torn, do not fit each other or say what cannot be.
    """
    sizes = files.sizes()
    names = _index(files) if INDEX in sizes else None
    if names is None and SINGLE not in sizes:
        raise _no_weights(files, sizes)
    found: dict[str, Entry] = {}
    for file in sorted(set(names.values())) if names is not None else [SINGLE]:
        if file not in sizes:
            raise _torn(files, f"{INDEX} names {file}, which is not there")
        header = _header(files, file, sizes[file])
        mine = header if names is None else [one for one in header if names.get(one) == file]
        found.update({name: header[name] for name in mine})
        if len(found) > MAX_TENSORS:
            raise _hostile(files, f"has more than {MAX_TENSORS} tensors")
    if lost := sorted(set(names or ()) - set(found)):
        raise _torn(files, f"{INDEX} places {lost[0]} in {(names or {})[lost[0]]}, which does not have it")
    return found


def read_files(files: Files, sizes: Mapping[str, int]) -> dict[str, Entry]:
    """The place of every tensor in some files of a model, whatever an index says.

    Args:
        files: of the model.
        sizes: bytes of those that are looked at.

    Raises:
        ConfigError: files that are torn, or say what cannot be.
    """
    return {name: one for file, size in sizes.items() for name, one in _header(files, file, size).items()}


def read_json(files: Files, name: str, limit: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object of a model's folder.

    Raises:
        ConfigError: it is not there, too long, or no JSON object.
    """
    size = files.sizes().get(name)
    if size is None:
        raise ConfigError(f"{files.where} has no {name}", "name the folder of a Hugging Face model")
    if size > limit:
        raise _hostile(files, f"has a {name} of {size} bytes, more than {limit}")
    value = _parsed(files, name, files.read(name, 0, size))
    if not isinstance(value, dict):
        raise _hostile(files, f"has a {name} that is no JSON object")
    return value


def _parsed(files: Files, name: str, content: bytes) -> Any:
    require_content(content, f"{files.where}: {name}")
    try:
        return json.loads(content, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise _torn(files, f"{name} is not readable: {str(error)[:200]}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _index(files: Files) -> dict[str, str]:
    """The file of each tensor, as the index says."""
    names = read_json(files, INDEX).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise _torn(files, f"{INDEX} has no weight_map")
    for file in names.values():
        if not isinstance(file, str) or not stays_inside(file) or "/" in file:
            raise _hostile(files, f"has an {INDEX} that names {file!r}, no file inside of the folder")
        if not file.endswith(".safetensors"):
            raise _pickles(files, file)
    if len(set(names.values())) > MAX_FILES:
        raise _hostile(files, f"has more than {MAX_FILES} files of weights")
    return names


def _header(files: Files, file: str, size: int) -> dict[str, Entry]:
    """The tensors of one file."""
    if size < LONGEST:
        require_content(files.read(file, 0, size), f"{files.where}: {file}")
    length = int.from_bytes(files.read(file, 0, PREFIX), "little") if size >= PREFIX else 0
    if not 0 < length <= size - PREFIX:
        raise _torn(files, f"{file} ends within its header")
    if length > MAX_JSON:
        raise _hostile(files, f"has a header of {length} bytes in {file}, more than {MAX_JSON}")
    header = _parsed(files, f"the header of {file}", files.read(file, PREFIX, PREFIX + length))
    if not isinstance(header, dict):
        raise _torn(files, f"the header of {file} is no JSON object")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise _hostile(files, f"has more than {MAX_TENSORS} tensors in {file}")
    first = PREFIX + length
    found = {name: _entry(files, file, name, raw, first) for name, raw in header.items()}
    at = first
    for name, entry in sorted(found.items(), key=lambda pair: (pair[1].start, pair[1].bytes)):
        if entry.start < at:
            raise _hostile(files, f"has {name} in {file} over another tensor")
        at = entry.start + entry.bytes
    if at > size:
        raise _torn(files, f"{file} has {size} bytes, and its tensors need {at}: it was not copied whole")
    return found


def _entry(files: Files, file: str, name: str, raw: Any, first: int) -> Entry:
    """One line of a header. JSON's booleans are no numbers here."""
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise _hostile(files, f"has a tensor in {file} whose name is no name: {name[:80]!r}")
    try:
        dtype, shape, (start, stop) = raw["dtype"], raw["shape"], raw["data_offsets"]
        right = all(type(one) is int and one >= 0 for one in (*shape, start, stop))
    except (KeyError, TypeError, ValueError):
        right = False
    if not right or len(shape) > MAX_DIMENSIONS or not isinstance(dtype, str):
        raise _torn(files, f"the header of {file} does not say where {name} lies")
    if dtype not in DTYPE_BYTES:
        raise ConfigError(
            f"{files.where}: {name} in {file} is stored as {dtype[:40]}, which is not known",
            f"use weights that are stored as {', '.join(('BF16', 'F16', 'F32'))}",
        )
    entry = Entry(file, dtype, tuple(shape), first + start)
    if stop - start != entry.bytes:
        raise _torn(files, f"{name} in {file} has {stop - start} bytes, and its shape needs {entry.bytes}")
    return entry


def _no_weights(files: Files, sizes: dict[str, int]) -> ConfigError:
    """What is there instead of safetensors, and what to do about it."""
    pickles = sorted(name for name in sizes if PICKLES.fullmatch(name))
    if pickles:
        return _pickles(files, pickles[0])
    other = sorted(name for name in sizes if OTHER_FORMATS.fullmatch(name))
    if "adapter_config.json" in sizes:
        return ConfigError(
            f"{files.where} is an adapter, not a model", "merge it into its base, and name that"
        )
    if other:
        return ConfigError(
            f"{files.where} has weights as {other[0]} alone, which is not read",
            "name the model's folder in safetensors",
        )
    return ConfigError(
        f"{files.where} has neither {SINGLE} nor {INDEX}",
        "name the folder that holds config.json and model.safetensors",
    )


def _pickles(files: Files, name: str) -> ConfigError:
    return ConfigError(
        f"{files.where} has its weights in {name}: pickles can run code, and are not opened",
        "convert it with transformers: model.save_pretrained(folder) writes safetensors",
    )


def _torn(files: Files, what: str) -> ConfigError:
    return ConfigError(f"{files.where}: {what}", "copy or download the model again")


def _hostile(files: Files, what: str) -> ConfigError:
    return ConfigError(f"{files.where} {what}", "do not use weights of a writer that is not trusted")
