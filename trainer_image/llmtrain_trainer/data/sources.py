"""Where documents come from. Deterministic order, never all of them in memory."""

from __future__ import annotations

import hashlib
import json
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from llmtrain_api import JobFile

from ..errors import ConfigError

PYTHON_STDLIB = "builtin://python-stdlib"
RANDOM_TOKENS = "builtin://random-tokens"
SUFFIXES = (".txt", ".md", ".py", ".jsonl")
_NOT_LIBRARY = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}


def documents(job: JobFile) -> Iterator[str]:
    """The texts of the dataset, up to ``maxBytes`` of them.

    Raises:
        ConfigError: a folder without a readable document.
    """
    found = _stdlib() if job.spec.dataset.name == PYTHON_STDLIB else _folder(job)
    used = 0
    for text in found:
        used += len(text.encode())
        if used > job.spec.dataset.max_bytes:
            break
        if text.strip():
            yield text


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a document is for evaluation only. By its content: copies fall on the same side."""
    first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return first < fraction * 2**64


def _stdlib() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not _NOT_LIBRARY.intersection(path.relative_to(root).parts):
            yield path.read_text(encoding="utf-8", errors="replace")


def _folder(job: JobFile) -> Iterator[str]:
    name = job.spec.dataset.name
    root = Path(job.dataset or name.removeprefix("file://"))
    if not root.is_dir():
        raise ConfigError(f"dataset.name {name}: no such folder", "check the claim and the folder's name")
    paths = sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not paths:
        raise ConfigError(f"dataset.name {name} has no file ending in {', '.join(SUFFIXES)}", "add some text")
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
