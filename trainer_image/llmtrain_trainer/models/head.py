"""What a task's own head is beside a language model: its outputs by name, and what stands after a text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmtrain_api import Task

from .weights import Weights

POOLERS = (".pooler.",)
"""Parts of names inside of a model without its head that only heads read: not every folder has them."""
DESCRIBED = ("id2label", "label2id", "problem_type", "pad_token_id")
"""Fields of a configuration that a head decides."""


@dataclass(frozen=True)
class Head:
    """The head that a job trains.

    Attributes:
        labels: what each of its outputs means; one for a number.
        pad: id of the token that rows are filled up with: decoders find a text's last token by it.
        spans: whether its outputs tell where an answer begins and ends.
    """

    labels: tuple[str, ...]
    pad: int
    spans: bool = False

    def describe(self, config: Any) -> None:
        """Write it into a configuration."""
        config.id2label = dict(enumerate(self.labels))
        config.label2id = {name: at for at, name in enumerate(self.labels)}
        one = "regression" if len(self.labels) == 1 else "single_label_classification"
        config.problem_type = None if self.spans else one
        config.pad_token_id = self.pad


def head_of(task: Task, labels: Collection[str], pad: int | None) -> Head | None:
    """The head of a task; None where it trains a language model."""
    return Head(tuple(labels), pad or 0, task is Task.QUESTIONS) if task.headed else None


def new_weights(
    shapes: Mapping[str, tuple[int, ...]], prefix: str, weights: Weights, *, same: bool
) -> Iterator[str]:
    """Weights of a head that begin anew.

    Args:
        shapes: of all weights of the model.
        prefix: of the model without its head.
        weights: of the folder that training starts from.
        same: whether its head has the same outputs in the same order.
    """
    head = [name for name in shapes if not name.startswith(f"{prefix}.")]
    there = {name: weights.found(name) for name in head}
    kept = same and all(
        found and weights.source.shape(found) == shapes[name] for name, found in there.items()
    )
    if not kept:
        yield from head
    inside = (name for name in shapes if name not in there and any(part in f".{name}" for part in POOLERS))
    yield from (name for name in inside if weights.found(name) is None)
