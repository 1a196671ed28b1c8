"""What the trainer needs to know of a model family beside what the contract says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmtrain_api import ModelShape


@dataclass(frozen=True)
class PipelineLayers:
    """Layers that a pipeline's stages are made of: those of a decoder with rotary positions.

    Attributes:
        block: one decoder layer.
        norm: the last norm.
        rotary: positions.
    """

    block: Any
    norm: Any
    rotary: Any


@dataclass(frozen=True)
class TrainedFamily:
    """One architecture of transformers.

    Attributes:
        config: its class of configurations.
        sizes: the configuration's fields for a shape. Dropout is off: one epoch over much text does not
            overfit.
        stages: its layers as a pipeline has them; None where there is no pipeline for it.
        text: of a model that sees images too, the family of its language model.
        unused: whether nothing depends on a weight, by its name; such do not decay.
        prepare: changes a model that was just built, so that it can be trained.
    """

    config: type[Any]
    sizes: Callable[[ModelShape], dict[str, Any]]
    stages: PipelineLayers | None = None
    text: TrainedFamily | None = None
    unused: Callable[[str, ModelShape], bool] = lambda _name, _shape: False
    prepare: Callable[[Any], None] = lambda _model: None
