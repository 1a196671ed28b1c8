"""What training starts from: the model of a folder, built without weights, and its weights by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.initialization import no_init_weights

from llmtrain_api import Task

from ..errors import ConfigError
from .adapters import AdaptedWeights
from .build import HEADS
from .head import Head, new_weights
from .source import Source
from .weights import Weights, new_head, require_whole

OFF = ("dropout", "dropout_rate", "_pdrop", "_dropout_prob", "attention_dropout", "layerdrop")
"""Endings of the fields of a configuration that turn dropout on."""


def configuration_of(folder: Path, dtype: torch.dtype = torch.float32, head: Head | None = None) -> Any:
    """The configuration of a folder as it is trained: without dropout and without a cache of keys.

    Dropout would make a resumed job differ from one that was never stopped, and layouts from each other.
    """
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    for part in parts_of(config):
        part.use_cache = False
        for name, value in vars(part).items():
            if name.endswith(OFF) and isinstance(value, float):
                setattr(part, name, 0.0)
        part.dtype = dtype
    if head is not None:
        head.describe(config)
    return config


def parts_of(config: Any) -> list[Any]:
    """A configuration, and those that it is made of: of a language model and of what sees images."""
    return [config, *(getattr(config, name) for name in config.sub_configs)]


def empty_model(config: Any, task: Task, dtype: torch.dtype) -> Any:
    """A model whose weights are whatever the memory holds, which costs neither time nor memory."""
    with no_init_weights():
        model = HEADS[task].from_config(config, dtype=dtype)
    model.tie_weights()
    return model


def start_weights(
    folder: Path,
    task: Task,
    seed: int,
    where: str = "",
    *,
    adapted: bool = False,
    head: Head | None = None,
) -> Weights:
    """The weights of a folder by the names that a model of transformers has for them.

    Args:
        folder: a Hugging Face folder.
        task: decides the head.
        seed: of a head that the folder does not have.
        where: what messages call the folder.
        adapted: whether adapters are trained beside them, which begin by the seed too.
        head: that the task trains; None for a language model's own.

    Raises:
        ConfigError: the folder's weights cannot be read, are not those of its configuration, or have no head
            that adapters could stand beside.
    """
    config = configuration_of(folder, head=head)
    with torch.device("meta"):
        model = empty_model(config, task, torch.float32)
    prefix = str(model.base_model_prefix)
    kind = AdaptedWeights if adapted else Weights
    weights = kind(Source(folder, where), prefix, model.all_tied_weights_keys, seed=seed)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    width = float(getattr(config, "initializer_range", 0.02))
    if task is Task.MASKED:
        weights.fresh = dict.fromkeys(new_head(shapes, prefix, weights), width)
    if head is not None:
        own = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        same = tuple(own.id2label.get(at) for at in range(own.num_labels)) == head.labels
        weights.fresh = dict.fromkeys(new_weights(shapes, prefix, weights, same=same), width)
        weights.other_heads = True
    require_whole(weights, shapes)
    if weights.fresh and adapted:
        raise ConfigError(
            f"{weights.source.where} has no {next(iter(weights.fresh))}: it has no head for this task, and "
            "adapters would leave a new one untrained",
            "remove model.adapter, or name a model with that head",
        )
    return weights


def shapes_of(config: Any, task: Task) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a model by its name; what is shared is there once."""
    with torch.device("meta"):
        model = empty_model(config, task, torch.float32)
    return {name: tuple(p.shape) for name, p in model.named_parameters()}
