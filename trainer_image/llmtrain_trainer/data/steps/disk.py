"""What to say when the disk is full while data are prepared."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ConfigError

KIBI, MEBI = 1 << 10, 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_IN_WORDS = "No space left on device"
"""How libraries that are no Python tell it."""


def _size(count: int) -> str:
    return f"{count // MEBI} MiB" if count >= MEBI else f"{count // KIBI} KiB"


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Name the folder, what is there already, and what is left of its disk.

    Raises:
        ConfigError: in the place of an error that says the disk is full: a restart would fill it again.
    """
    try:
        yield
    except Exception as error:
        if not (isinstance(error, OSError) and error.errno in _FULL) and _IN_WORDS not in str(error):
            raise
        written = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        space = shutil.disk_usage(folder)
        raise ConfigError(
            f"{folder} is full: {_size(space.free)} of {_size(space.total)} are free after "
            f"{_size(written)} of prepared data, and more are needed",
            "use a larger volume for output.uri, free space there, or lower dataset.maxBytes",
        ) from error
