"""The first checkpoint of a job that goes on from another job's: that step, copied. No torch.

The other output is only read. The copy is made in the attempt's own folder and becomes a step by the rename
that commits every step, so a kill at any moment leaves none of it or all. Once this job has a whole
checkpoint, the other output is never looked at again.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from llmtrain_api import CheckpointSpec, JobFile, Origin, OriginFolder, ResumeFrom

from .. import log
from ..errors import ConfigError
from ..files import CHUNK, differing, discard, stays_inside, sync_tree, write_json
from ..output import Output
from ..records import OwnerRecord, record_or_none
from .commit import commit_step
from .fence import Fence
from .manifest import MANIFEST, FileEntry, Manifest, layout_of, read_manifest, require_same
from .ownership import beside
from .resume import Resume, resume_of

FIELD = "checkpoint.from"
FREE = (
    "undo the change (training.learningRate, its schedule, maxSteps, epochs, zeroStage, microBatchSize, "
    "parallelism, nodes and checkpoint may differ), or name the export of {title} as model.name, which goes "
    "on with other data"
)
FOLDER = "origin"


def look(job: JobFile, fingerprints: dict[str, Any]) -> None:
    """Refuse what the other output can be seen to lack, before data are prepared for an hour.

    Args:
        job: this job.
        fingerprints: those that are known without its data.

    Raises:
        ConfigError: it has no such step, or one that this job cannot go on from.
    """
    origin = _origin(job)
    output = _output(origin)
    step = _steps(origin, output)[0]
    if manifest := read_manifest(output.step(step)):
        _require_fit(job, manifest, fingerprints)


def adopt(fence: Fence, job: JobFile, fingerprints: dict[str, Any]) -> Resume:
    """Make the step of the other output the first of this job's. Node 0 only, without a whole one of its own.

    Returns:
        How it is gone on from: each byte of it has been held against its digest, and need not be once more.

    Raises:
        ConfigError: there is none that is whole, or it belongs to other data or another model.
        Fenced: a newer attempt owns the output.
        OSError: the copy could not be written.
    """
    origin = _origin(job)
    output, reason = _output(origin), ""
    folder = fence.folder / FOLDER
    for step in _steps(origin, output):
        discard(folder)
        manifest = read_manifest(output.step(step))
        if manifest is None:
            reason = f"no readable {MANIFEST}"
        else:
            _require_fit(job, manifest, fingerprints)
            reason = _copied(output.step(step), folder, manifest) or ""
        if manifest is not None and not reason:
            _commit(fence, folder, origin, step, job.spec.checkpoint)
            return resume_of(job, step, manifest, fingerprints)
        log.get().warning("a checkpoint of the other output is damaged", step=step, reason=reason)
    discard(folder)
    if origin.step is not None:
        raise ConfigError(
            f"{FIELD}.step: step {origin.step} of {origin.title} is damaged: {reason}", "name another step"
        )
    raise ConfigError(
        f"{FIELD}: no checkpoint of {origin.title} is whole; of the oldest, {reason}", "name another job"
    )


def _origin(job: JobFile) -> OriginFolder:
    if job.origin is None:
        raise RuntimeError("this job goes on from no other")
    return job.origin


def _output(origin: OriginFolder) -> Output:
    """The folder that the other job wrote to: the one that it named, or one beside it."""
    base = Path(origin.folder)
    if origin.uid is None:
        return Output(base)
    for output in (Output(base), Output(beside(base, origin.uri, origin.uid))):
        owner = record_or_none(output.owner, OwnerRecord) or OwnerRecord()
        if origin.uid in (owner.job_uid, *owner.previous):
            return output
    raise ConfigError(
        f"{FIELD}: {origin.uri} has nothing of {origin.title} any more",
        f"name the folder that has its checkpoints as {FIELD}.output",
    )


def _steps(origin: OriginFolder, output: Output) -> list[int]:
    """The steps that will do, best first; never none."""
    there = output.committed()
    told = ", ".join(map(str, there)) or "none"
    if origin.step is not None and origin.step not in there:
        raise ConfigError(
            f"{FIELD}.step: {origin.title} has no checkpoint of step {origin.step} in {origin.uri}",
            f"name one that it has ({told})",
        )
    if not there:
        raise ConfigError(
            f"{FIELD}: there is no checkpoint of the trainer in {origin.uri}", "correct the job or the folder"
        )
    return there if origin.step is None else [origin.step]


def _require_fit(job: JobFile, manifest: Manifest, fingerprints: dict[str, Any]) -> None:
    weights_only = job.spec.checkpoint.resume_from is ResumeFrom.WEIGHTS
    hint = FREE.format(title=_origin(job).title)
    require_same(manifest, fingerprints, weights_only=weights_only, hint=hint)
    layout_of(manifest)
    last = job.spec.training.max_steps
    if last is not None and manifest.step >= last:
        raise ConfigError(
            f"{FIELD}: the checkpoint of {_origin(job).title} is of step {manifest.step}, and "
            f"training.maxSteps is {last}",
            "raise training.maxSteps, or name an earlier step",
        )


def _copied(source: Path, folder: Path, manifest: Manifest) -> str | None:
    """Copy a step, and hold every file of it against its manifest; what is wrong with it, in words."""
    if not manifest.files:
        return f"{MANIFEST} lists no files"
    folder.mkdir()
    root, linked = source.resolve(), dict[str, dict[str, Any]]()
    for name, entry in manifest.files.items():
        if not stays_inside(name):
            return f"{name!r} is not the name of a file inside {source.name}"
        try:
            if (source / name).resolve() != root / name:
                return f"{name} is a link, and links are not followed"
        except OSError as error:
            return f"{name}: {error.strerror}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if _linked(root / name, folder / name):
            linked[name] = entry.model_dump()
        elif reason := _copied_file(root / name, folder / name, entry):
            return f"{name} {reason}"
    if reason := differing(folder, linked):
        return reason
    write_json(folder / MANIFEST, manifest.to_json())
    sync_tree(folder)
    return None


def _linked(source: Path, target: Path) -> bool:
    """Link a file where the file system allows it, as the files of a step never change; whether it does."""
    try:
        os.link(source, target)
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True


def _copied_file(source: Path, target: Path, entry: FileEntry) -> str | None:
    """Copy a file; what is wrong with it, in words."""
    try:
        file = source.open("rb")
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    with file:
        found = _written(file, target)
    if found.size != entry.size:
        return f"has {found.size} bytes instead of {entry.size}"
    return None if found.sha256 == entry.sha256 else "has another sha256 than its manifest says"


def _written(file: Any, target: Path) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        while block := file.read(CHUNK):
            out.write(block)
            digest.update(block)
            size += len(block)
    return FileEntry(size=size, sha256=digest.hexdigest())


def _commit(fence: Fence, folder: Path, origin: OriginFolder, step: int, spec: CheckpointSpec) -> None:
    """Where it comes from goes on record first: that outlives the step, which retention will delete."""
    fence.check()
    found = Origin(job=origin.job, uid=origin.uid, uri=origin.uri, step=step)
    write_json(fence.output.origin, found.to_json())
    commit_step(fence, folder, step, spec.keep, best=spec.keep_best)
    log.get().info("begins with a step of another output", step=step, origin=origin.title)
