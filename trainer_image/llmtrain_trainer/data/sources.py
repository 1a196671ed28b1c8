"""Where documents come from. Deterministic order, never all of them in memory."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llmtrain_api import JobFile
from llmtrain_api.schema.dataset import PYTHON_STDLIB

from ..errors import ConfigError

BUILTIN_BYTES = 8_000_000
"""Read of built-in data where the job states no limit."""
SUFFIXES = (".txt", ".md", ".py", ".jsonl")
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


@dataclass(frozen=True)
class Text:
    """One source of documents.

    Attributes:
        field: the field of the job that names it.
        name: as that field says.
        folder: where it lies; not read for built-in data.
        max_bytes: read at most so many; None for all of a folder, `BUILTIN_BYTES` of built-in data.
    """

    field: str
    name: str
    folder: Path
    max_bytes: int | None


def texts_of(job: JobFile) -> list[Text]:
    """The sources of a job, in the order of its list."""
    dataset = job.spec.dataset
    return [
        Text(
            "dataset.name" if dataset.mixture is None else f"dataset.mixture[{number}].name",
            source.name,
            Path(job.sources.get(source.name) or job.dataset or source.name.removeprefix("file://")),
            source.max_bytes,
        )
        for number, source in enumerate(dataset.sources)
    ]


def documents(source: Text) -> Iterator[str]:
    """The texts of a source, up to its ``max_bytes`` of them.

    Raises:
        ConfigError: a folder without a readable document.
    """
    found = _stdlib() if source.name == PYTHON_STDLIB else _folder(source)
    limit = source.max_bytes or (BUILTIN_BYTES if source.name == PYTHON_STDLIB else None)
    used = 0
    for text in found:
        used += len(text.encode())
        if limit is not None and used > limit:
            break
        if text.strip():
            yield text


def in_turn(streams: Iterable[Iterator[str]]) -> Iterator[str]:
    """One text of each stream in turn, until all have ended: whoever stops early has seen some of each."""
    left = list(streams)
    while left:
        going = []
        for stream in left:
            text = next(stream, None)
            if text is not None:
                going.append(stream)
                yield text
        left = going


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a document is for evaluation only. By its content: copies fall on the same side."""
    first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return first < fraction * 2**64


def _stdlib() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not _NOT_LIBRARY.intersection(path.relative_to(root).parts):
            yield path.read_text(encoding="utf-8", errors="replace")


def _folder(source: Text) -> Iterator[str]:
    where = f"{source.field} {source.name}"
    if not source.folder.is_dir():
        raise ConfigError(f"{where}: no such folder", "check the claim and the folder's name")
    paths = sorted(p for p in source.folder.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not paths:
        raise ConfigError(f"{where} has no file ending in {', '.join(SUFFIXES)}", "add some text")
    for path in paths:
        if path.suffix == ".jsonl":
            yield from _json_lines(path)
        else:
            yield path.read_text(encoding="utf-8", errors="replace")


def _json_lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                text = json.loads(line)["text"]
            except (ValueError, KeyError, TypeError):
                text = None
            if not isinstance(text, str):
                raise ConfigError(
                    f"{path.name} line {number} is no object with a text", 'use {"text": "..."}'
                )
            yield text
