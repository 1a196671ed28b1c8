"""Archives with the same bytes each time, and checksums."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

SUMS = "SHA256SUMS"


def packed(folder: Path, prefix: str, epoch: int, first: str = "") -> bytes:
    """A folder as .tar.gz: sorted, owned by nobody, dated by the commit.

    Args:
        folder: what is packed; links in it are not.
        prefix: the folder's name in the archive.
        epoch: the date of every entry.
        first: a file that stands before the others.
    """
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    names.sort(key=lambda name: name != first)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in names:
            data = (folder / name).read_bytes()
            entry = tarfile.TarInfo(f"{prefix}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), epoch, 0o644
            tar.addfile(entry, io.BytesIO(data))
    return compressed(plain.getvalue(), epoch)


def compressed(plain: bytes, epoch: int) -> bytes:
    """The same as .gz, dated by the commit."""
    made = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=made, mode="wb", mtime=epoch) as stream:
        stream.write(plain)
    return made.getvalue()


def sums(folder: Path) -> str:
    """A line a file, as ``sha256sum -c`` reads them."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
