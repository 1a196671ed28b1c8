"""Where the model that a job starts from lies on this node. No torch: launcher and stages ask too."""

from __future__ import annotations

from pathlib import Path

from llmtrain_api import JobFile

from .headers import INDEX, SINGLE

SCRATCH = "model"
"""Name in the pod's private folder of a model that was fetched, in the commit that the job is pinned to."""


def folder_of(job: JobFile) -> Path | None:
    """The Hugging Face folder of a job's base on this node; None for a built-in model.

    A folder is read where it is mounted; what comes from a hub or a bucket is fetched into the pod's scratch.
    """
    if job.spec.model.builtin is not None:
        return None
    if job.base is not None:
        return Path(job.base)
    return Path(job.scratch) / SCRATCH


def start_of(job: JobFile, initial: Path) -> Path:
    """The Hugging Face folder whose weights training starts from.

    Args:
        job: whose base it is, if it has one.
        initial: of a model that was made from a seed: a built-in one, or random weights of a base's sizes.
    """
    base = folder_of(job)
    return base if base is not None and job.spec.model.pretrained else initial


def has_weights(folder: Path) -> bool:
    """Whether a folder of a model has weights, and not a tokenizer and a configuration alone."""
    return (folder / SINGLE).exists() or (folder / INDEX).exists()


def named(job: JobFile) -> str:
    """What messages call the base: the field with its value."""
    return f"spec.model.name {job.spec.model.name}"
