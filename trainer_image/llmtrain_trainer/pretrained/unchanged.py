"""Whether a model's weights are those that were looked at before the job began. No torch; nothing is read.

On a hub a commit names them. A folder and a bucket may change under a job, also to other numbers under the
same headers, so the inspection notes sizes and times (in a bucket: the store's digests) of their files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from llmtrain_api import JobFile

from ..errors import ConfigError
from ..files import digest_of
from ..models.headers import INDEX, Entry, Files, LocalFiles, read_headers
from ..models.location import folder_of, named

FETCHED = ".weights"
"""In the folder of a model that was fetched from a bucket: the digest of what was copied."""


def digest_of_files(files: Files, headers: dict[str, Entry]) -> str | None:
    """What tells the files of some weights from changed ones; None where a commit tells it.

    Args:
        files: of the model.
        headers: of its weights.
    """
    versions = files.versions()
    if versions is None:
        return None
    return _digest(versions, (entry.file for entry in headers.values()))


def _digest(versions: dict[str, str], names: Iterable[str]) -> str:
    told = {name: versions.get(name, "") for name in names}
    if INDEX in versions:
        told[INDEX] = versions[INDEX]
    return digest_of(told)


def require_unchanged(job: JobFile) -> None:
    """The weights on this node are those of the job's facts. Asked where they are about to be read.

    Raises:
        ConfigError: they were changed since, or have gone.
    """
    folder, facts = folder_of(job), job.model
    if folder is None or facts is None or facts.weights is None:
        return
    files = LocalFiles(folder, named(job))
    there = _fetched(folder) if job.base is None else digest_of_files(files, read_headers(files))
    if there != facts.weights:
        raise ConfigError(
            f"{files.where}: its weights were changed since the job looked at them",
            "put the files back as they were, or delete the job and create it again",
        )


def _fetched(folder: Path) -> str | None:
    try:
        return (folder / FETCHED).read_text()
    except OSError:
        return None
