"""One copy of what never changes: buildah's store and all nodes share the files of image layers by links.

A layer lies on the disk as an archive (in the layout that images are sent from, and in each node's content
store) and unpacked (in buildah's store, and in each node's snapshots). Both are addressed by their content
and only ever replaced or unlinked, never written to, so that equal ones may be one file. Nodes that share
files also share the page cache. What lies on different file systems keeps a copy on each.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from barecluster.settings import Node

WORTH_BYTES = 16_384  # a fifth of an image's files hold nine tenths of its bytes
_CONTENT = Path("root/io.containerd.content.v1.content/blobs/sha256")


def chain_id(diff_ids: Sequence[str]) -> str:
    """How containerd names the snapshot of a stack of layers, the lowest first."""
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
    return chain


def layer_folders(mount_command: str) -> list[Path]:
    """The folders of a snapshot's layers, the topmost first, from the mount that `ctr` prints for a view."""
    words = mount_command.split()
    if "bind" in words:  # a single layer: `mount -t bind SOURCE TARGET -o ro,rbind`
        return [Path(words[words.index("bind") + 1])]
    options = next((word for word in words if "lowerdir=" in word), "")
    lower = next((one for one in options.split(",") if one.startswith("lowerdir=")), "lowerdir=")
    return [Path(folder) for folder in lower.removeprefix("lowerdir=").split(":") if folder]


def share_blobs(blobs: Iterable[Path], nodes: Sequence[Node]) -> int:
    """Make each node's copy of these archives the one that lies here; the bytes that this set free."""
    places = ([blob, *(node.home / _CONTENT / blob.name for node in nodes)] for blob in blobs)
    pairs = (pair for copies in places for pair in pairs_of_one_device(copies))
    return sum(_share(*pair) for pair in pairs if _have_one_size(*pair))


def share_layers(stacks: Sequence[Sequence[Path]]) -> int:
    """Make the same layer in each stack of folders one set of files; the bytes that this set free.

    A stack of another height than the first is left alone.
    """
    same = [stack for stack in stacks if len(stack) == len(stacks[0])]
    layers = zip(*same, strict=True)
    return sum(_share_tree(*pair) for copies in layers for pair in pairs_of_one_device(copies))


def pairs_of_one_device(paths: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """The first path on each device with each of the others there; links do not cross devices."""
    first: dict[int, Path] = {}
    for path in paths:
        if path.exists():
            source = first.setdefault(path.stat().st_dev, path)
            if source != path:
                yield source, path


def _share_tree(source: Path, target: Path) -> int:
    freed = 0
    for folder, _, names in os.walk(target):
        beside = source / Path(folder).relative_to(target)
        freed += sum(
            _share(beside / name, Path(folder, name))
            for name in names
            if _are_alike(beside / name, Path(folder, name))
        )
    return freed


def _share(source: Path, target: Path) -> int:
    """Let target be the same file as source: whoever opens it meanwhile gets one or the other."""
    before = target.stat()
    partial = target.with_name(f".llmtrain-{os.getpid()}.partial")
    try:
        os.link(source, partial)
    except OSError as error:
        if error.errno == errno.EMLINK:  # as many names as a file may have
            return 0
        raise
    partial.replace(target)
    return before.st_size if before.st_nlink == 1 else 0


def _have_one_size(source: Path, target: Path) -> bool:
    """Enough for archives, whose name is the hash of their content."""
    one, other = source.stat(), target.stat()
    return one.st_size == other.st_size and one.st_ino != other.st_ino


def _are_alike(source: Path, target: Path) -> bool:
    """Whether two files of one layer and name may and should be one; archives keep times in whole seconds."""
    other = target.lstat()
    if other.st_size < WORTH_BYTES or not stat.S_ISREG(other.st_mode):
        return False
    try:
        one = source.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if one.st_ino == other.st_ino:
        return False
    kinds = [(x.st_mode, x.st_size, x.st_uid, x.st_gid, int(x.st_mtime)) for x in (one, other)]
    return kinds[0] == kinds[1] and sorted(os.listxattr(source)) == sorted(os.listxattr(target))
