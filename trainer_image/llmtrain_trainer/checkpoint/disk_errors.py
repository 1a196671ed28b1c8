"""What to tell a person whose disk refuses a checkpoint."""

from __future__ import annotations

import errno
import os
from pathlib import Path

MEBI = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def refusal(step: int, folder: Path, error: OSError) -> str:
    """Name the folder, the cause, the space that is left, and the fix."""
    cause = error.strerror or str(error)
    fix = f"make {folder} writable for the trainer's user"
    if error.errno in FULL:
        fix = "free space there, use a larger volume, or keep fewer checkpoints (checkpoint.keep)"
    return f"step {step} could not be saved in {folder}: {cause} ({_space(folder)}); {fix}"


def _space(folder: Path) -> str:
    try:
        seen = os.statvfs(folder)
    except OSError as error:
        return f"the free space is unknown: {error.strerror}"
    free, size = (blocks * seen.f_frsize // MEBI for blocks in (seen.f_bavail, seen.f_blocks))
    return f"{free} MiB of {size} MiB are free"
