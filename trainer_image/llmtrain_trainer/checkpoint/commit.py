"""Rank 0's part of a save: from every rank's files to one committed step, and what may go then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmtrain_api import Layout, changed

from .. import log
from ..files import discard, fsync_folder, inventory, read_json, write_json
from .fence import Fence
from .manifest import MANIFEST, Manifest, best_among, broken, complete

if TYPE_CHECKING:
    from .snapshot import SnapshotEngine  # with torch, which a launcher has not

PARTS = "parts"


def write_part(
    files: SnapshotEngine, folder: Path, rank: int, more: Mapping[str, dict[str, Any]] | None = None
) -> list[str]:
    """Write a rank's states and the list of them, down to the disk. In a thread, or not.

    Args:
        files: the states.
        folder: of the step.
        rank: whose.
        more: other files that the rank has written to the disk already, with their lines of a manifest.

    Returns:
        All that this rank wrote, by path below the folder.

    Raises:
        OSError: something could not be written.
    """
    files.write()
    entries = files.entries | dict(more or {})
    parts = folder / PARTS
    parts.mkdir(exist_ok=True)
    part = part_of(rank)
    write_json(folder / part, {"files": entries})
    for name in {str(Path(name).parent) for name in entries}:
        fsync_folder(folder / name)
    fsync_folder(folder)
    return [*entries, part]


def part_of(rank: int) -> str:
    """The list of a rank's files."""
    return f"{PARTS}/rank-{rank}.json"


def write_manifest(folder: Path, head: Manifest, layout: Layout) -> None:
    """Say what the step is, and list all ranks' files. All of them have been synced.

    Args:
        folder: the step's folder, reached through the attempt's own.
        head: what the manifest says beside the files.
        layout: whose ranks wrote.

    Raises:
        RuntimeError: a rank's files are missing.
        OSError: the disk is full.
    """
    manifest = changed(head, time=datetime.now(UTC), files=_all_files(folder, layout))
    write_json(folder / MANIFEST, manifest.to_json())


def commit_step(fence: Fence, folder: Path, step: int, keep: int, *, best: bool = False) -> None:
    """Make a step of a folder that is whole, and delete what is old.

    Args:
        fence: the right to write.
        folder: the step's folder, with its manifest.
        step: optimizer steps of it.
        keep: newest good checkpoints to keep.
        best: whether the best one is kept besides.

    Raises:
        Fenced: a newer attempt owns the output; nothing was committed.
    """
    target = fence.output.step(step)
    if target.exists():
        # only a torn one gets here; a whole one was found before and kept
        log.get().warning("replacing a torn checkpoint", step=step, reason=broken(target))
        target.rename(target.with_name(f".torn-{target.name}-{fence.attempt}"))
    fence.commit(folder.name, target)
    try:
        retain(fence, step, keep, best=best)
    except OSError as error:  # the step is committed: this must not undo it
        log.get().warning("an old checkpoint could not be deleted", error=str(error))


def _all_files(folder: Path, layout: Layout) -> dict[str, Any]:
    files: dict[str, Any] = {}
    for rank in range(layout.world):
        part = read_json(folder / part_of(rank))
        if part is None:
            raise RuntimeError(f"{rank} of {layout.world} ranks' files were written: no list of rank {rank}")
        files |= part["files"]
    states = [name for name in files if name.endswith("_optim_states.pt")]
    expected = layout.world if layout.zero else 0  # without ZeRO the model's file has them
    if len(states) != expected:
        raise RuntimeError(f"{len(states)} of {expected} ranks' optimizer states were written")
    return files | inventory(folder, leave_out=tuple(files))


def retain(fence: Fence, newest: int, keep: int, *, best: bool = False) -> None:
    """Delete what is older than the newest good ones. Renamed first, so that no half-deleted step is seen.

    Steps above ``newest`` were torn when this attempt started, or it would have gone on from them; they, and
    torn ones below, are not counted, or they would push out the good ones. The best one stays if asked.
    """
    below = [step for step in fence.output.committed() if step <= newest]
    good = [step for step in below if complete(fence.output.step(step))]
    spared = best_among(fence.output, good) if best else None
    for step in below:
        if len(good) >= keep and step < good[keep - 1] and step != spared:
            fence.check()
            gone = fence.output.checkpoints / f".deleted-step-{step}"
            discard(gone)
            fence.output.step(step).rename(gone)
            discard(gone)
