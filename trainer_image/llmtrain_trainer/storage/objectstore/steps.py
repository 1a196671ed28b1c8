"""Checkpoints in an object store: their keys, whether they are whole, and how one gets into a node's folder.

No torch: the launcher uses this, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtrain_api import Layout

from ... import log
from ...checkpoint.fence import Fence, short
from ...checkpoint.manifest import MANIFEST, WEIGHTS, Manifest, layout_of, lines_of
from ...errors import ConfigError
from ...files import differing, discard, fsync_folder, stays_inside
from .bucket import Bucket
from .record import Record

FOLDER = "checkpoints"
UNLISTED = f"no {MANIFEST} that can be read and names files inside of the step only"
_PREFIX = re.compile(r"step-\d+\.([^-]*)-(\d+)-.*")
_OF_ONE_RANK = re.compile(r"state/(?:bf16_)?zero_pp_rank_(\d+)_mp_rank_(\d+)_(?:optim|model)_states\.pt")
"""DeepSpeed's names: a rank's number among those that share a part of the model, and that part's, which is a
tensor-parallel rank or a stage. It counts the files of other names, and will have all of them."""


@dataclass(frozen=True)
class Readers:
    """Ranks of one node that go on from a step with all that it has.

    Attributes:
        ranks: their numbers.
        layout: how their gang is cut.
        anew: whether they take only the weights of a step, wherever those lie.
    """

    ranks: Collection[int]
    layout: Layout
    anew: Callable[[Manifest], bool] = lambda _: False

    def files_of(self, manifest: Manifest) -> list[str]:
        """Files of a step that they read as a whole: in the layout that it was saved in, what the same ranks
        wrote and what is everybody's."""
        if self.in_parts(manifest):
            return []
        places = {self._place(rank) for rank in self.ranks}
        return [name for name in state_of(manifest) if _read_at(places, name)]

    def _place(self, rank: int) -> tuple[int, int]:
        """The two numbers that DeepSpeed names a rank's files by."""
        place = self.layout.place(rank)
        return place.data * self.layout.sequence + place.sequence, place.tensor + place.pipeline

    def in_parts(self, manifest: Manifest) -> bool:
        """Whether each rank reads ranges out of all files, as it finds them: those of another layout, and
        weights without the rest."""
        return self.anew(manifest) or not self._saved_alike(manifest)

    def _saved_alike(self, manifest: Manifest) -> bool:
        try:
            return layout_of(manifest) == self.layout
        except ConfigError:
            return False


def _read_at(places: Collection[tuple[int, int]], name: str) -> bool:
    own = _OF_ONE_RANK.fullmatch(name)
    return own is None or (int(own[1]), int(own[2])) in places


def state_of(manifest: Manifest) -> list[str]:
    """Files of a step that ranks go on from."""
    return [name for name in manifest.files if not name.startswith(f"{WEIGHTS}/")]


def prefix_of(step: int, fence: Fence, number: int) -> str:
    """Where a save's objects go: no other save, of this attempt or another, ever writes there."""
    return f"{FOLDER}/step-{step}.{short(fence.job_uid)}-{fence.attempt}-{short(fence.holder)}-{number}"


def listed(bucket: Bucket, prefix: str) -> Manifest | None:
    """A step's manifest; None where there is none that can be read and trusted.

    Raises:
        OSError: the store does not answer.
    """
    try:
        content = bucket.read(f"{prefix}/{MANIFEST}")
        manifest = Manifest.model_validate_json(content)
    except (FileNotFoundError, ValueError):
        return None
    return manifest if manifest.files and all(map(stays_inside, manifest.files)) else None


def whole(bucket: Bucket, prefix: str) -> bool:
    """Whether every object is there with its size: nothing is downloaded but the manifest."""
    manifest, there = listed(bucket, prefix), bucket.sizes(prefix)
    if manifest is None:
        return False
    return all(there.get(name) == entry.size for name, entry in manifest.files.items())


def best_of(bucket: Bucket, record: Record) -> list[int]:
    """Steps that could be exported as the best of their run so far, the newest and best first."""
    return [step for step in sound(record) if _is_best(listed(bucket, record.steps[str(step)]))]


def _is_best(manifest: Manifest | None) -> bool:
    return manifest is not None and manifest.exportable_best


def sound(record: Record) -> list[int]:
    """Steps that are not known to be damaged, newest first."""
    return [step for step in record.committed if record.steps[str(step)] not in record.torn]


def retired(bucket: Bucket, record: Record, step: int, keep: int, spared: int | None = None) -> list[int]:
    """Steps that may go once ``step`` is committed. Torn ones do not count: they would push out good ones.

    Args:
        bucket: the store.
        record: before the commit.
        step: that is committed.
        keep: newest good ones to keep, that one among them.
        spared: one that never goes, however old.
    """
    good, old = 1, []
    for number in record.committed:
        if number >= step or number == spared:
            continue
        if good >= keep:
            old.append(number)
        elif record.steps[str(number)] not in record.torn and whole(bucket, record.steps[str(number)]):
            good += 1
    return old


def fetch_step(
    bucket: Bucket,
    prefix: str,
    fence: Fence,
    step: int,
    *,
    weights_only: bool = False,
    readers: Readers | None = None,
) -> str | None:
    """Download a step into this node's folder, and check what was downloaded.

    Args:
        bucket: the store.
        prefix: of the step.
        fence: whose folder it passes through, so that a part of it is never taken for a step.
        step: optimizer steps of it.
        weights_only: the whole model's weights, for the export, and nothing of the optimizer.
        readers: who reads it here, and needs no more; None for all of it.

    Returns:
        Why it cannot be used; None = it is there.

    Raises:
        OSError: the store does not answer.
    """
    manifest = listed(bucket, prefix)
    if manifest is None:
        return UNLISTED
    if readers and readers.in_parts(manifest) and (reason := _unlike(manifest, bucket.sizes(prefix))):
        return reason
    files = _wanted(manifest, weights_only, readers)
    size = sum(line["size"] for line in files.values())
    of_size = sum(line.size for line in manifest.files.values())
    folder, target = fence.folder / f"in-{step}", fence.output.step(step)
    discard(folder)
    if reason := _fault(bucket, prefix, folder, files):
        discard(folder)
        return reason
    discard(target)
    folder.rename(target)
    fsync_folder(target.parent)
    log.get().info("checkpoint downloaded", step=step, files=len(files), bytes=size, of_bytes=of_size)
    return None


def _unlike(manifest: Manifest, sizes: dict[str, int]) -> str | None:
    """What can be seen to be wrong with the states of a step that is read in parts later, in words."""
    for name in state_of(manifest):
        if sizes.get(name) != manifest.files[name].size:
            return f"{name} has {sizes.get(name, 0)} bytes instead of {manifest.files[name].size}"
    return None


def _fault(bucket: Bucket, prefix: str, folder: Path, files: dict[str, dict[str, Any]]) -> str | None:
    """Download files of a step; what is wrong with them, in words."""
    try:
        bucket.download(prefix, [*files, MANIFEST], folder)
    except FileNotFoundError as error:
        return str(error)
    return differing(folder, files)


def _wanted(manifest: Manifest, weights_only: bool, readers: Readers | None) -> dict[str, dict[str, Any]]:
    """The lines of the files that are downloaded."""
    lines = lines_of(manifest)
    if weights_only:
        return {name: line for name, line in lines.items() if name.startswith(f"{WEIGHTS}/")}
    return {name: lines[name] for name in readers.files_of(manifest)} if readers else lines


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
