"""Shapes of repositories that many people train, so that a mistake is told before anything is looked at.

``catalogue.json`` has what decides a shape of the ``config.json`` of each, as it is in its default branch. It
is an early answer and nothing else: what is trained rests on the inspection, whatever is written here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from .facts import shape_of_config
from .schema.model import ModelSpec
from .shape import ModelShape

TABLE = Path(__file__).with_name("catalogue.json")


@cache
def table() -> dict[str, dict[str, Any]]:
    """The configurations by the name of their repository."""
    found: dict[str, dict[str, Any]] = json.loads(TABLE.read_text())
    return found


def known_shape(model: ModelSpec) -> ModelShape | None:
    """The shape that a model of the hub should have; None where that is not known.

    Args:
        model: as a job names it. One with a revision is another model than the default branch's, perhaps.
    """
    if not model.on_hub or model.revision is not None:
        return None
    config = table().get(model.name)
    return shape_of_config(config) if config is not None else None
