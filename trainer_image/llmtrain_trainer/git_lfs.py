"""Pointers of Git LFS: what lies in a clone where a large file was not downloaded.

The form: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

from __future__ import annotations

from .errors import ConfigError

LONGEST = 1024
"""Bytes: a pointer is shorter."""
_BEGINNINGS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")


def require_content(beginning: bytes, name: str) -> None:
    """A file is what its name says, no pointer to it.

    Args:
        beginning: of the file.
        name: of the file, for the message.

    Raises:
        ConfigError: it is a pointer.
    """
    if beginning.startswith(_BEGINNINGS):
        raise ConfigError(
            f"{name} is a pointer of Git LFS: the file itself was not downloaded",
            "run `git lfs pull` in the clone and copy it again, or download it from the hub",
        )
