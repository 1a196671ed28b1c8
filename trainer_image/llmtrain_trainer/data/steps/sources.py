"""Finds the files of all sources, before anything is made of them."""

from __future__ import annotations

from pathlib import Path

from llmtrain_api import JobFile

from ... import log
from ...errors import ConfigError
from ..preparation import Preparation
from ..sources import Text, pin, surveyed, texts_of
from ..tokenizer import TRAINING_BYTES


def find_sources(made: Preparation) -> None:
    """Leave the sources and their size.

    Raises:
        ConfigError: a source without data, or one that lies in the job's own output.
    """
    made.sources = [] if made.noise else [pin(source) for source in texts_of(made.job)]
    made.bytes_total = 0
    for source in made.sources:
        require_apart(made.job, source)
        found = surveyed(source, (source.column,))
        size = sum(file.size for file in found.files)
        made.bytes_total += size
        log.get().info("found text", dataset=source.name, files=len(found.files), bytes=size)
    passes = {"tokenizer": min(made.bytes_total, TRAINING_BYTES), "rows": made.bytes_total}
    made.progress.expect(passes)


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
