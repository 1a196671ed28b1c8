"""The file of a sweep that a person names on the command line."""

from __future__ import annotations

from pathlib import Path

import yaml

from llmtrain_api.names import SWEEP_KIND
from llmtrain_api.sweeps import Sweep, parse_sweep

from ..kube.api import Object
from . import manifest_yaml


def is_sweep(path: Path) -> bool:
    """Whether a file holds a sweep and nothing else."""
    try:
        documents = [one for one in manifest_yaml.load_all(path.read_text(encoding="utf-8-sig")) if one]
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # whoever reads it next says what is wrong with it
        return False
    return len(documents) == 1 and isinstance(documents[0], dict) and documents[0].get("kind") == SWEEP_KIND


def sweep_document(path: Path) -> Object:
    """The one document of a file in which `is_sweep` found one."""
    document: Object = manifest_yaml.only(manifest_yaml.load_all(path.read_text(encoding="utf-8-sig")))
    return document


def sweep_in(path: Path) -> Sweep:
    """The sweep of such a file.

    Raises:
        InvalidSweep: with every mistake found.
    """
    return parse_sweep(sweep_document(path))
