"""Reads ``job.json``. Ground: launcher, stages and ranks all begin with it."""

from __future__ import annotations

from pathlib import Path

from llmtrain_api import JobFile
from llmtrain_api.rules import layout_mistake

from .errors import ConfigError


def read_job(path: str) -> JobFile:
    """Read and check ``job.json``.

    Raises:
        ConfigError: it cannot be read, its content is not valid, or its layout is not proven.
    """
    try:
        job = JobFile.model_validate_json(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if wrong := layout_mistake(job.spec, job.shape, job.layout):
        raise ConfigError(f"{path}: {wrong}")
    return job
