"""Small effects on files that must survive a crash. Standard library only: the launcher imports this."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .digests import Line, Piece, first_fault, pieces_of, unlike

CHUNK = 1 << 20


def fsync_file(path: Path) -> None:
    """Force a file's content to the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_folder(path: Path) -> None:
    """Force a folder's entries to the disk, so that a rename inside it survives."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file that is either there in full or not at all.

    Raises:
        ValueError: a number is infinite or not a number, which no JSON can hold; see `floats.finite_only`.
    """
    text = json.dumps(value, indent=1, allow_nan=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is no readable one."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def digest_of(value: Any) -> str:
    """Hex digest of a JSON-ready value, the same for equal values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def entry_of(path: Path) -> dict[str, Any]:
    """A file's line of a manifest, without chunks: fingerprints of data are made of such lines."""
    return {"size": path.stat().st_size, "sha256": sha256(path)}


def inventory(folder: Path, leave_out: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Size and digest of every file below a folder, by relative path."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = str(path.relative_to(folder))
        if name not in leave_out:
            found[name] = entry_of(path)
    return found


def stays_inside(name: str) -> bool:
    """Whether a name that somebody else wrote is a plain path below a folder: no ``..``, not absolute."""
    return "\\" not in name and "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def differing(folder: Path, expected: Mapping[str, Line]) -> str | None:
    """The first file that is missing or not as listed, in words; None when all are as listed.

    Nothing is read where a name, a link or a size says enough; else all cores read at once.
    """
    root, pieces = folder.resolve(), list[Piece]()
    for name, line in expected.items():
        if not stays_inside(name):
            return f"{name!r} is not the name of a file inside {folder.name}"
        if reason := unlike(root, name, line):
            return reason
        pieces += pieces_of(root / name, name, line)
    return first_fault(pieces)


def sync_tree(folder: Path) -> None:
    """Force every file and folder below (and including) a folder to the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            fsync_file(path)
        elif path.is_dir():
            fsync_folder(path)
    fsync_folder(folder)


def discard(path: Path) -> None:
    """Delete a folder that nobody reads any more; what cannot be deleted now is left for the next attempt."""
    shutil.rmtree(path, ignore_errors=True)
