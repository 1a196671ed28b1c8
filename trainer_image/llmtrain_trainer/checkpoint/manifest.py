"""``manifest.json`` of a checkpoint, and which one a new attempt starts from. No torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from llmtrain_api import ApiModel, Layout, Time

from ..errors import ConfigError
from ..files import differing, read_json
from ..output import Output

MANIFEST = "manifest.json"
STATE = "state"
"""Folder of what ranks go on from."""
WEIGHTS = "weights"
"""Folder of the whole model's weights, which the last checkpoint has, and with ``keepBest`` each best one."""

_FIELDS = {
    "data": "the prepared data (dataset.name, dataset.maxBytes, dataset.heldOutFraction)",
    "mixture": "dataset.mixture (names, weights, maxBytes)",
    "tokenizer": "the tokenizer (model.vocabSize, model.tokenizerKind, dataset)",
    "model": "the model's configuration (spec.model)",
    "base": "the weights that the adapter was trained beside",
    "adapter": "the adapter (spec.model.adapter)",
    "sequenceLength": "training.sequenceLength",
    "globalBatchSize": "training.globalBatchSize",
    "seed": "training.seed",
    "precision": "training.precision",
}


MOST_BYTES = 1 << 60
"""Of one file."""
MOST_FILES = 1 << 20
MOST_MANIFEST = 64 << 20
"""Bytes of a manifest: chunks of 10 TB are listed in so many."""
LONGEST_NAME = 1024
LEAST_CHUNK = 1 << 12
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class FileEntry(ApiModel):
    """One file of a checkpoint.

    Attributes:
        size: its bytes.
        sha256: digest of what was meant to be written.
        chunk: of a large file, the bytes of each chunk but the last.
        chunks: their digests, by which the file is held against; see `digests`.
    """

    size: int = Field(ge=0, le=MOST_BYTES)
    sha256: str = Field(max_length=64)
    chunk: int | None = Field(default=None, ge=LEAST_CHUNK, le=MOST_BYTES)
    chunks: tuple[Sha256, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _cover_all(self) -> FileEntry:
        """Chunks that leave a part of the file out would leave it unread."""
        if (self.chunk is None) != (self.chunks is None):
            raise ValueError("chunk and chunks are both there, or neither is")
        if self.chunk and len(self.chunks or ()) != -(-self.size // self.chunk):
            raise ValueError(
                f"{len(self.chunks or ())} chunks of {self.chunk} bytes are not {self.size} bytes"
            )
        return self


class Metrics(ApiModel):
    """Losses of the step that was saved; None where one is not known, or was not finite."""

    train_loss: float | None = None
    fairness_penalty: float | None = None
    eval_loss: float | None = None


class StepFacts(ApiModel):
    """What the training loop says of a step that it saves.

    Attributes:
        step: optimizer steps done.
        consumed_samples: samples used.
        metrics: losses of the step.
        best: whether no evaluation of the run until then had a lower held-out loss than that of this step.
        run_state: what was decided so far, as `RunState.to_json` gives it, for a resume.
    """

    step: int = Field(ge=0)
    consumed_samples: int = Field(default=0, ge=0)
    metrics: Metrics = Metrics()
    best: bool = False
    run_state: dict[str, Any] = Field(default_factory=dict)


class Manifest(StepFacts):
    """``manifest.json``: rank 0 writes it before a step is committed, and every attempt reads it.

    Attributes:
        version: of this format.
        job_uid: of the job that wrote it.
        attempt: that wrote it.
        time: when it was written.
        world_size: ranks that wrote it.
        layout: how the gang was cut; read by `layout_of`.
        fingerprints: of data, tokenizer, model and batch.
        files: every file of the step but this one, by path below its folder.
    """

    version: int = Field(default=1, ge=1)
    job_uid: str | None = None
    attempt: int = Field(default=0, ge=0)
    time: Time | None = None
    world_size: int = Field(default=1, ge=1)
    layout: dict[str, Any] | None = None
    fingerprints: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict, max_length=MOST_FILES)

    @property
    def exportable_best(self) -> bool:
        """Whether it is the best of its run so far and has the whole weights. As a later best one is better,
        the newest such step of an output is the best of all."""
        return self.best and any(name.startswith(f"{WEIGHTS}/") for name in self.files)

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or len(name) > LONGEST_NAME:
                raise ValueError(f"{name[:LONGEST_NAME]} is not below the checkpoint's folder")
        return files


def read_manifest(folder: Path) -> Manifest | None:
    """A checkpoint's manifest, or None where there is none that can be read."""
    try:
        if (folder / MANIFEST).stat().st_size > MOST_MANIFEST:
            return None
        return Manifest.model_validate(read_json(folder / MANIFEST))
    except (OSError, ValidationError):
        return None


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a checkpoint that was found whole.

    Raises:
        OSError: it has gone since.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise OSError(f"{folder} has no readable {MANIFEST} any more")
    return manifest


def broken(folder: Path) -> str | None:
    """Why a checkpoint cannot be used, or None when every file is as its manifest says."""
    manifest = read_manifest(folder)
    if manifest is None:
        return f"no readable {MANIFEST}"
    if not manifest.files:
        return f"{MANIFEST} lists no files"
    return differing(folder, lines_of(manifest))


def lines_of(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """What a manifest says of each file, as `digests` reads it."""
    return {name: entry.model_dump() for name, entry in manifest.files.items()}


def complete(folder: Path) -> bool:
    """Whether every file is there with its size: what can be asked often, as nothing is read."""
    manifest = read_manifest(folder)
    if manifest is None or not manifest.files:
        return False
    try:
        return all((folder / name).stat().st_size == entry.size for name, entry in manifest.files.items())
    except OSError:
        return False


def best_among(output: Output, steps: Iterable[int]) -> int | None:
    """The best of some steps, newest first, that could be exported; see `Manifest.exportable_best`."""
    for step in steps:
        manifest = read_manifest(output.step(step))
        if manifest is not None and manifest.exportable_best:
            return step
    return None


def newest_good(
    output: Output, say: Callable[[int, str], None], wanted: Callable[[Manifest], bool] = lambda _: True
) -> tuple[int, Manifest] | None:
    """The newest checkpoint that is whole, with its manifest.

    Args:
        output: where to look.
        say: told the step and the reason of each checkpoint that is passed over.
        wanted: which ones are looked for.
    """
    for step in output.committed():
        folder = output.step(step)
        listed = read_manifest(folder)
        if listed is not None and not wanted(listed):
            continue
        reason, manifest = broken(folder), read_manifest(folder)
        if reason is None and manifest is not None:
            return step, manifest
        say(step, reason or f"{MANIFEST} went away while it was read")
    return None


def require_same(
    manifest: Manifest,
    fingerprints: dict[str, Any],
    *,
    weights_only: bool = False,
    hint: str = "undo the change, or use another output.uri",
) -> None:
    """Refuse to go on from a checkpoint that belongs to other data or another model.

    Args:
        manifest: of the checkpoint.
        fingerprints: of this job.
        weights_only: whether the optimizer starts anew, which may then be in another precision.
        hint: what helps.

    Raises:
        ConfigError: naming everything that differs.
    """
    old = manifest.fingerprints
    free = ("precision",) if weights_only else ()
    different = [
        f"{_FIELDS.get(key, key)}: {_short(old.get(key))} in the checkpoint, {_short(value)} in this job"
        for key, value in fingerprints.items()
        if old.get(key) != value and key not in free
    ]
    if different:
        raise ConfigError(f"{_where(manifest)}: {'; '.join(different)}", hint)


def layout_of(manifest: Manifest) -> Layout:
    """The layout that a checkpoint was written in.

    Raises:
        ConfigError: the manifest does not tell, so that its files cannot be put together.
    """
    try:
        return Layout(**(manifest.layout or {"": None}))
    except TypeError:
        raise ConfigError(
            f"{_where(manifest)}: its {MANIFEST} tells no layout that this version knows",
            "use another output.uri, or the version that wrote it",
        ) from None


def _where(manifest: Manifest) -> str:
    return f"checkpoint of step {manifest.step} cannot be resumed"


def _short(value: Any) -> str:
    return str(value)[:12]
