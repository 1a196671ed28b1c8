"""The first checkpoint of a job that goes on from another job's: copied, checked, and committed as its own.

The other job's output is only read. It may go on, be deleted, or be damaged meanwhile: what counts is the
copy, which is checked against the manifest before the one rename that commits it.
"""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from llmtrain_api import JobFile

from .. import log
from ..errors import ConfigError
from ..files import discard, sync_tree
from ..output import Output
from .fence import Fence
from .manifest import MANIFEST, broken, newest_good, read_manifest

FIX = "name another checkpoint.from, or remove it to begin anew"
WORKING = "fork"


def bring(fence: Fence, job: JobFile) -> int | None:
    """Copy the checkpoint that ``checkpoint.from`` names, where the job has none of its own.

    Args:
        fence: the right to write.
        job: this job.

    Returns:
        The step; None where nothing was to be copied.

    Raises:
        ConfigError: there is no such checkpoint that is whole.
        Fenced: a newer attempt owns the output; nothing was committed.
        OSError: it could not be written.
    """
    wanted = job.spec.checkpoint.source
    if wanted is None or job.checkpoint_from is None:
        return None
    if newest_good(fence.output, lambda _step, _reason: None) is not None:
        return None  # a restart goes on from the job's own
    source = Output(Path(job.checkpoint_from))
    step = _chosen(source, wanted.step)
    working = fence.folder / WORKING
    discard(working)
    _copy(source.step(step), working)
    if reason := broken(working):
        discard(working)
        raise ConfigError(f"{_name(job, step)} changed while it was copied: {reason}", FIX)
    target = fence.output.step(step)
    if target.exists():  # a torn one, or it would have been found
        discard(target)
    fence.commit(WORKING, target)
    log.get().info("going on from another job's checkpoint", step=step, source=job.checkpoint_from)
    return step


def _chosen(source: Output, step: int | None) -> int:
    """The step to copy.

    Raises:
        ConfigError: it is not there, or not whole.
    """
    there = source.committed()
    if step is None:
        torn: list[str] = []
        found = newest_good(source, lambda step, reason: torn.append(f"step {step}: {reason}"))
        if found is not None:
            return found[0]
        why = f"; {torn[0]}" if torn else ""
        raise ConfigError(f"checkpoint.from: {source.root} has no checkpoint that is whole{why}", FIX)
    if step not in there:
        known = ", ".join(map(str, there[:10])) or "none"
        raise ConfigError(
            f"checkpoint.from.step: there is no step {step} in {source.root}, which has {known}",
            "use one of those, or leave step out for the newest",
        )
    if reason := broken(source.step(step)):
        raise ConfigError(f"checkpoint.from.step: step {step} in {source.root} is not whole: {reason}", FIX)
    return step


def _copy(folder: Path, working: Path) -> None:
    """Every file that the manifest lists, and the manifest.

    Raises:
        ConfigError: one of them is no plain file.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise ConfigError(f"checkpoint.from: {folder} went away while it was read", FIX)
    working.mkdir()
    for name in (*manifest.files, MANIFEST):
        _copy_file(folder / name, working / name)
    sync_tree(working)


def _copy_file(source: Path, target: Path) -> None:
    if not stat.S_ISREG(source.lstat().st_mode):
        raise ConfigError(f"checkpoint.from: {source} is no plain file", FIX)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target, follow_symlinks=False)


def _name(job: JobFile, step: int) -> str:
    return f"checkpoint.from: step {step} in {job.checkpoint_from}"
