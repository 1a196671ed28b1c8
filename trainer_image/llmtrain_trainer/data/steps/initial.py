"""Writes the model that training starts from."""

from __future__ import annotations

from ...models.build import write_initial
from ..preparation import Preparation
from ..store import INITIAL


def write_initial_model(made: Preparation) -> None:
    """Leave the number of its parameters."""
    made.parameters = write_initial(made.job.spec, made.job.shape, made.eos, made.folder / INITIAL)[
        "parameters"
    ]
