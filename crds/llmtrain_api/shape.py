"""A model's sizes, wherever they are told: by the spec for a built-in family, or by a ``config.json``."""

from __future__ import annotations

from .schema.model_facts import TIED, ModelShape, Switch, VisionShape
from .schema.task import Task

__all__ = ["TIED", "ModelShape", "Switch", "Task", "VisionShape"]
