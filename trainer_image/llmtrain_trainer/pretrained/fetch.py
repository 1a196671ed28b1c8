"""Copies a model from a hub or a bucket into the pod's scratch, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ..files import discard
from ..models.headers import INDEX, LocalFiles, read_headers
from ..models.location import has_weights
from .remote import Remote, wanted
from .unchanged import FETCHED, digest_of_files


def fetch(files: Remote, folder: Path, *, weights: bool = True) -> None:
    """Fill a folder; it appears once all is there.

    Args:
        files: of the model, in the commit that the job is pinned to.
        folder: of that commit. Where all that is asked for is there already, nothing is done.
        weights: also the weights. Without, a tokenizer and a configuration are kilobytes.

    Raises:
        ConfigError: the model is not there any more, or its weights are torn.
        OSError: the way to it broke; what was copied is not copied again.
    """
    partial = folder.with_name(f"{folder.name}.{'partial' if weights else 'described'}")
    if folder.exists():
        if not weights or has_weights(folder):
            return
        discard(folder)  # kilobytes, which are copied again
    partial.mkdir(parents=True, exist_ok=True)
    names = wanted(files.sizes())
    if weights:
        files.copy(names, partial)
        digest = digest_of_files(files, read_headers(LocalFiles(partial, files.where)))
        if digest is not None:
            (partial / FETCHED).write_text(digest)
    else:
        files.copy([name for name in names if not of_weights(name)], partial)
    partial.rename(folder)


def of_weights(name: str) -> bool:
    """Whether a file is a part of the weights."""
    return name == INDEX or name.endswith(".safetensors")
