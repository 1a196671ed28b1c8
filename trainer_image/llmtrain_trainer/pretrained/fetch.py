"""Copies a model from a hub or a bucket into the pod's scratch, whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ..models.headers import LocalFiles, read_headers
from .remote import Remote, wanted


def fetch(files: Remote, folder: Path) -> None:
    """Fill a folder; it appears once all is there.

    Args:
        files: of the model, in the commit that the job is pinned to.
        folder: of that commit. Where it is there already, nothing is done.

    Raises:
        ConfigError: the model is not there any more, or its weights are torn.
        OSError: the way to it broke; what was copied is not copied again.
    """
    if folder.exists():
        return
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    files.copy(wanted(files.sizes()), partial)
    read_headers(LocalFiles(partial, files.where))
    partial.rename(folder)


def fetch_without_weights(files: Remote, folder: Path) -> None:
    """Copy the configuration and the tokenizer of a model, which is kilobytes to megabytes.

    Args:
        files: of the model.
        folder: for them.

    Raises:
        ConfigError: the model is not there.
        OSError: the way to it broke.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files.copy([name for name in wanted(files.sizes()) if not name.endswith(".safetensors")], folder)
