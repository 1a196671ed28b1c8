"""Writes the model that training starts from, or looks whether the one that exists is whole.

What knows models loads torch, which is as much memory as all of the preparation. It is loaded here, when the
processes that prepared the text have ended.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

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
    initial, head = made.folder / INITIAL, _head(made)
    written = write_initial(job.spec, job.shape, made.tokens.eos, initial, config, head)
    made.parameters = written["parameters"]


def _head(made: Preparation) -> Any:
    from ...models.head import head_of

    return head_of(made.task, made.labels, made.tokens.pad) if made.task.headed else None


def _look(made: Preparation, base: Path) -> None:
    with quick_imports():
        from ...models.start import configuration_of, shapes_of, start_weights

    job, task, head = made.job, made.task, _head(made)
    shapes = shapes_of(configuration_of(base, head=head), task)
    made.parameters = sum(prod(shape) for shape in shapes.values())
    if job.base is None and not has_weights(base):
        return  # they are fetched, and looked at, where training starts from them
    seed, adapted = job.spec.training.seed, job.spec.model.adapter is not None
    weights = start_weights(base, task, seed, named(job), adapted=adapted, head=head)
    if weights.fresh:
        log.get().warning(
            "the model has no head for its task: a new one is trained", weights=len(weights.fresh)
        )
