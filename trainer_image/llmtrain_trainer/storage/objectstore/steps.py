"""Checkpoints in an object store: their keys, whether they are whole, and how one gets into a node's folder.

No torch: the launcher uses this, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...checkpoint.fence import Fence, short
from ...checkpoint.manifest import MANIFEST, WEIGHTS, Manifest, lines_of
from ...files import differing, discard, fsync_folder, stays_inside
from .bucket import Bucket
from .record import Record

FOLDER = "checkpoints"
_PREFIX = re.compile(r"step-\d+\.([^-]*)-(\d+)-.*")


def prefix_of(step: int, fence: Fence, number: int) -> str:
    """Where a save's objects go: no other save, of this attempt or another, ever writes there."""
    return f"{FOLDER}/step-{step}.{short(fence.job_uid)}-{fence.attempt}-{short(fence.holder)}-{number}"


def listed(bucket: Bucket, prefix: str) -> dict[str, Any] | None:
    """The files that a step's manifest lists; None where there is none that can be read and trusted.

    Raises:
        OSError: the store does not answer.
    """
    try:
        content = bucket.read(f"{prefix}/{MANIFEST}")
        manifest = Manifest.model_validate_json(content)
    except (FileNotFoundError, ValueError):
        return None
    files = lines_of(manifest)
    return files if files and all(map(stays_inside, files)) else None


def whole(bucket: Bucket, prefix: str) -> bool:
    """Whether every object is there with its size: nothing is downloaded but the manifest."""
    files, there = listed(bucket, prefix), bucket.sizes(prefix)
    return bool(files) and all(there.get(name) == entry["size"] for name, entry in (files or {}).items())


def retired(bucket: Bucket, record: Record, step: int, keep: int) -> list[int]:
    """Steps that may go once ``step`` is committed. Torn ones do not count: they would push out good ones."""
    good, old = 1, []
    for number in record.committed:
        if number >= step:
            continue
        if good >= keep:
            old.append(number)
        elif whole(bucket, record.steps[str(number)]):
            good += 1
    return old


def fetch_step(
    bucket: Bucket, prefix: str, fence: Fence, step: int, *, weights_only: bool = False
) -> str | None:
    """Download a step into this node's folder, and check it.

    Args:
        bucket: the store.
        prefix: of the step.
        fence: whose folder it passes through, so that a part of it is never taken for a step.
        step: optimizer steps of it.
        weights_only: the whole model's weights, for the export, and nothing of the optimizer.

    Returns:
        Why it cannot be used; None = it is there.

    Raises:
        OSError: the store does not answer.
    """
    files = listed(bucket, prefix)
    if not files:
        return f"no {MANIFEST} that can be read and names files inside of the step only"
    if weights_only:
        files = {name: entry for name, entry in files.items() if name.startswith(f"{WEIGHTS}/")}
    folder, target = fence.folder / f"in-{step}", fence.output.step(step)
    discard(folder)
    try:
        bucket.download(prefix, [*files, MANIFEST], folder)
    except FileNotFoundError as error:
        return str(error)
    if reason := differing(folder, files):
        return reason
    discard(target)
    folder.rename(target)
    fsync_folder(target.parent)
    return None


def left_over(names: Iterable[str], record: Record, fence: Fence) -> list[str]:
    """Prefixes that attempts before this one left uncommitted.

    Never those of whoever may have come later: a newer attempt may be at work already.

    Args:
        names: of everything below `FOLDER`.
        record: of the moment when the fence was raised.
        fence: this attempt's.
    """
    earlier = {short(uid) for uid in record.owner.previous}
    found = set()
    for name in names:
        match = _PREFIX.fullmatch(name.partition("/")[0])
        own = match and match[1] == short(fence.job_uid) and int(match[2]) < fence.attempt
        if match and (own or match[1] in earlier):
            found.add(f"{FOLDER}/{match[0]}")
    return sorted(found - set(record.steps.values()))
