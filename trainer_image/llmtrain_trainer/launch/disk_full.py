"""What to say when a stage or the launcher itself finds the disk full: no retry can help."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..checkpoint.disk_errors import FULL, MEBI
from ..errors import ConfigError

_SIGNS = ("no space left on device", "disk quota exceeded")
HINT = (
    "free space there or use a larger volume, or lower dataset.maxBytes; "
    "data and checkpoints that were there are kept"
)


def is_full(error: BaseException | str) -> bool:
    """Whether an exception, or the text of one, says that a disk or a quota is full."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(sign in str(error).lower() for sign in _SIGNS)


def no_space(folders: list[Path]) -> bool:
    """Whether one of the folders has no space at all: then not even the exception may be in the log."""
    return any(usage.free == 0 for folder in folders if (usage := _usage(folder)))


def disk_full(doing: str, folders: list[Path], wrote: Path | None = None) -> ConfigError:
    """Name the folder whose disk is full, what is left there, and how much was not enough.

    Args:
        doing: the stage.
        folders: that it writes to; the one with the least space is the full one.
        wrote: what it had written when it ended.
    """
    left = [(usage.free, usage.total, folder) for folder in folders if (usage := _usage(folder))]
    if not left:
        return ConfigError(f"{doing}: the disk is full", HINT)
    free, total, folder = min(left, key=lambda one: one[0])
    needs = f"; it needs more than the {_mebi(_size(wrote))} that it had written" if wrote else ""
    return ConfigError(f"{doing}: {folder} is full: {_mebi(free)} of {_mebi(total)} are free{needs}", HINT)


def _usage(folder: Path) -> shutil._ntuple_diskusage | None:
    try:
        return shutil.disk_usage(folder)
    except OSError:
        return None


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _mebi(size: int) -> str:
    return f"{size / MEBI:,.1f} MiB"
