"""Writes the model that training starts from, or looks whether the one that exists is whole."""

from __future__ import annotations

from math import prod

from llmtrain_api import task_of

from ... import log
from ...models.build import write_initial
from ...models.location import folder_of, named
from ...models.start import configuration_of, shapes_of, start_weights
from ...models.weights import require_whole
from ..preparation import Preparation
from ..store import INITIAL


def write_initial_model(made: Preparation) -> None:
    """Leave the number of its parameters. A base stays where it is: nothing of it is copied.

    Raises:
        ConfigError: a base that does not have what its configuration asks for.
    """
    job, base = made.job, folder_of(made.job)
    if base is None or not job.spec.model.pretrained:
        config = configuration_of(base) if base else None
        initial = made.folder / INITIAL
        made.parameters = write_initial(job.spec, job.shape, made.tokens.eos, initial, config)["parameters"]
        return
    task = task_of(job.spec, job.shape)
    shapes = shapes_of(configuration_of(base), task)
    weights = start_weights(
        base, task, job.spec.training.seed, named(job), adapted=job.spec.model.adapter is not None
    )
    require_whole(weights, shapes)
    if weights.fresh:
        log.get().warning(
            "the model has no head for its task: a new one is trained", weights=len(weights.fresh)
        )
    made.parameters = sum(prod(shape) for shape in shapes.values())
