"""Writes the model that training starts from, or looks whether the one that exists is whole.

What knows models loads torch, which is as much memory as all of the preparation. It is loaded here, when the
processes that prepared the text have ended.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

from llmtrain_api import task_of

from ... import log
from ...imports import quick_imports
from ...models.location import folder_of, has_weights, named
from ..preparation import Preparation
from ..store import INITIAL


def write_initial_model(made: Preparation) -> None:
    """Leave the number of its parameters. A base stays where it is: nothing of it is copied.

    Raises:
        ConfigError: a base that does not have what its configuration asks for.
    """
    base = folder_of(made.job)
    if base is None or not made.job.spec.model.pretrained:
        _write(made, base)
    else:
        _look(made, base)


def _write(made: Preparation, base: Path | None) -> None:
    with quick_imports():
        from ...models.build import write_initial
        from ...models.start import configuration_of

    config, job = configuration_of(base) if base else None, made.job
    initial = made.folder / INITIAL
    made.parameters = write_initial(job.spec, job.shape, made.tokens.eos, initial, config)["parameters"]


def _look(made: Preparation, base: Path) -> None:
    with quick_imports():
        from ...models.start import configuration_of, shapes_of, start_weights

    job, task = made.job, task_of(made.job.spec, made.job.shape)
    made.parameters = sum(prod(shape) for shape in shapes_of(configuration_of(base), task).values())
    if job.base is None and not has_weights(base):
        return  # they are fetched, and looked at, where training starts from them
    seed, adapted = job.spec.training.seed, job.spec.model.adapter is not None
    weights = start_weights(base, task, seed, named(job), adapted=adapted)
    if weights.fresh:
        log.get().warning(
            "the model has no head for its task: a new one is trained", weights=len(weights.fresh)
        )
