"""Finds the files of all sources, before anything is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, TokenizerKind, task_of

from ... import log
from ...errors import ConfigError
from ...files import sha256
from ...models.location import folder_of
from ...special_tokens import special_names
from .. import cleaning, holes
from ..documents import units_of_source
from ..preparation import Preparation
from ..sentence_pairs import pairs_of, penalty_pairs_of
from ..sources import Text, pin, surveyed, texts_of
from ..store import RULES
from ..tokenizer import training_bytes


def find_sources(made: Preparation) -> None:
    """Leave the sources, their files and their units.

    Raises:
        ConfigError: a source without data, or one that lies in the job's own output; pairs of sentences
            that cannot be compared at the end, or held alike.
    """
    pairs_of(made.job)  # after days of training nobody wants to hear of them
    penalty_pairs_of(made.job)  # nor after hours of preparation
    texts = [made.borrowed.text] if made.borrowed else [] if made.noise else texts_of(made.job)
    made.sources = [replace(pin(source), glance=made.glance) for source in texts]
    made.surveys, made.units = [], []
    for number, source in enumerate(made.sources):
        require_apart(made.job, source)
        found = surveyed(source, None if made.whole_rows else (source.column,))
        made.surveys.append(found)
        made.units.append(units_of_source(source, found.files, number))
        size = sum(file.size for file in found.files)
        revision = {"commit": source.revision} if source.revision else {}
        log.get().info("found text", dataset=source.name, files=len(found.files), bytes=size, **revision)
    made.bytes_total = sum(unit.size for units in made.units for unit in units)
    seen = training_bytes(made.job.spec.model.tokenizer)
    passes = {"tokenizer": min(made.bytes_total, seen), "rows": made.bytes_total}
    compared = cleaning.duplicates_of(made.job.spec) is not None
    made.progress.expect(({"duplicates": made.bytes_total} if compared else {}) | passes)
    made.set_key = set_key(made)


def set_key(made: Preparation) -> dict[str, Any]:
    """All that the tokens depend on: neither the length of rows nor the sizes of the model."""
    spec = made.job.spec
    return {
        "rules": RULES,
        "sources": [
            {"name": source.name, "column": source.column, "units": [unit.identity() for unit in units]}
            for source, units in zip(made.sources, made.units, strict=True)
        ],
        "heldOutFraction": spec.held_out_fraction,
        "cleaning": cleaning.key_of(spec),
        "tokenizer": _digests(made.borrowed.tokenizer) if made.borrowed else tokenizer_key(made.job),
        "dtype": made.dtype,
        **({"fillInTheMiddle": cut} if (cut := holes.key_of(spec)) else {}),
    }


def special_of(job: JobFile) -> list[str]:
    """Names of the special tokens of a tokenizer that is trained for a job, beside the end of a document."""
    cut = job.spec.dataset.fill_in_the_middle is not None
    return special_names(task_of(job.spec, job.shape), holes=cut)


def tokenizer_key(job: JobFile) -> dict[str, Any]:
    """All that decides the tokenizer besides the text."""
    base = folder_of(job)
    if base is None:
        kind = job.spec.model.tokenizer
        other = {} if kind is TokenizerKind.BPE else {"kind": str(kind)}
        return {"trained": job.shape.vocabulary, "special": special_of(job)} | other
    return _digests(base)


def _digests(folder: Path) -> dict[str, Any]:
    files = (folder / name for name in ("tokenizer.json", "tokenizer_config.json"))
    return {"base": [sha256(path) if path.is_file() else None for path in files]}


def require_apart(job: JobFile, source: Text) -> None:
    """A job must not read what it writes.

    Raises:
        ConfigError: the source is the output folder of the job, or lies in it.
    """
    same = source.folder.exists() and source.folder.resolve().is_relative_to(Path(job.output).resolve())
    if same or _lies_in(source.name, job.spec.output.uri):
        raise ConfigError(
            f"{source.field} {source.name} lies in output.uri {job.spec.output.uri}: the job would read what "
            "it writes",
            "give the output a folder of its own, beside the text or below it",
        )


def _lies_in(name: str, output: str) -> bool:
    """By their URIs: a pod sees two mounts of one claim under different paths."""
    inner, outer = (uri.rstrip("/").split("/") for uri in (name, output))
    return inner[: len(outer)] == outer
