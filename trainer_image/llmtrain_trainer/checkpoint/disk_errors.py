"""What to tell a person whose disk refuses a checkpoint."""

from __future__ import annotations

import errno
import os
from pathlib import Path

MEBI = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refusal(step: int, folder: Path, error: OSError, last: Path | None) -> str:
    """Name the folder, the cause, the space that is left, and the fix.

    Args:
        step: that could not be saved.
        folder: of all steps.
        error: what the system said.
        last: a step that was saved: another one takes about as much.
    """
    cause = error.strerror or str(error)
    fix = f"make {folder} writable for the trainer's user"
    if error.errno in FULL:
        fix = "free space there, use a larger volume, or keep fewer checkpoints (checkpoint.keep)"
    space = _space(folder)
    if error.errno in FULL and last is not None:
        space += f", the last checkpoint has {_size(last) // MEBI} MiB"
    return f"step {step} could not be saved in {folder}: {cause} ({space}); {fix}"


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:  # it may go meanwhile
        return 0


def _space(folder: Path) -> str:
    try:
        seen = os.statvfs(folder)
    except OSError as error:
        return f"the free space is unknown: {error.strerror}"
    free, size = (blocks * seen.f_frsize // MEBI for blocks in (seen.f_bavail, seen.f_blocks))
    return f"{free} MiB of {size} MiB are free"
