"""The file that a person names on the command line: read, understood, or refused with every mistake in it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from llmtrain_api import InvalidJob, JobSpec, Metadata, parse_manifest

from ..kube.api import Object
from . import manifest_yaml
from .runtimes import apart, under_runtime


class Refused(Exception):
    """It cannot be run as it is: one line a reason."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class ManifestFile(NamedTuple):
    """The job of a file.

    Attributes:
        document: with the defaults of its runtime, where the file has it.
        note: what was done about its runtime; empty = it names none.
        runtimes: how many runtimes are beside it.
    """

    document: Object
    metadata: Metadata
    spec: JobSpec
    note: str
    runtimes: int


def parsed(path: Path) -> ManifestFile:
    """The manifest in a file, which may have the job's runtime beside it.

    Raises:
        Refused: with every mistake in it, in the words of the API.
    """
    try:
        jobs, runtimes = apart(manifest_yaml.load_all(path.read_text(encoding="utf-8-sig")))
        document, note = under_runtime(manifest_yaml.only(jobs), runtimes)
        return ManifestFile(document, *parse_manifest(document), note, len(runtimes))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Refused(manifest_yaml.unreadable(error)) from None
    except InvalidJob as invalid:
        raise Refused(*invalid.mistakes) from None
