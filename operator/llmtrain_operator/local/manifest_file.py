"""The file that a person names on the command line: read, understood, or refused with every mistake in it."""

from __future__ import annotations

from pathlib import Path

import yaml

from llmtrain_api import InvalidJob, JobSpec, Metadata, parse_manifest

from ..kube.api import Object
from . import manifest_yaml


class Refused(Exception):
    """It cannot be run as it is: one line a reason."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


def parsed(path: Path) -> tuple[Object, Metadata, JobSpec]:
    """The manifest in a file.

    Raises:
        Refused: with every mistake in it, in the words of the API.
    """
    try:
        document = manifest_yaml.load(path.read_text(encoding="utf-8-sig"))
        return document, *parse_manifest(document)
    except UnicodeDecodeError as error:
        raise Refused(f"it is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except (OSError, yaml.YAMLError) as error:
        raise Refused(str(error)) from None
    except InvalidJob as invalid:
        raise Refused(*invalid.mistakes) from None
