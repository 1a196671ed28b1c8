"""Mounts below a folder: containers' file systems, secrets, the volume."""

from __future__ import annotations

from pathlib import Path

from barecluster.console import ClusterError
from barecluster.shell import attempt

_MOUNTS = Path("/proc/mounts")


def mounts_below(mounts: str, folder: Path) -> list[str]:
    """From /proc/mounts, the mount points under the folder, deepest first."""
    points = [line.split()[1].replace("\\040", " ") for line in mounts.splitlines()]
    return sorted((point for point in points if point.startswith(f"{folder}/")), reverse=True)


def unmount_below(folder: Path) -> None:
    """Unmount all that is mounted under the folder."""
    for point in mounts_below(_MOUNTS.read_text(), folder):
        if attempt("umount", point) is None:
            attempt("umount", "--lazy", point)
    refuse_mounts(folder)


def refuse_mounts(folder: Path) -> None:
    """Removing files through a mount would remove what is mounted, the volume's content for one."""
    if left := mounts_below(_MOUNTS.read_text(), folder):
        raise ClusterError(f"still mounted: {', '.join(left)}")
