"""What there is to know of a model family: its tensors, what a block saves for later, its task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..schema.model import BuiltinModel
from ..shape import TIED, ModelShape, Task
from .config import Config


@dataclass(frozen=True)
class Tensors:
    """Equal tensors.

    Attributes:
        numbers: of one of them.
        count: how many there are.
        cut: whether tensor parallelism gives each rank a part only.
        looked_up: whether it is a table that no token is multiplied with.
        stack: of which stack of layers, in the order of `Family.seen`.
    """

    numbers: int
    count: int = 1
    cut: bool = False
    looked_up: bool = False
    stack: int = 0

    @property
    def total(self) -> int:
        """Numbers of all of them."""
        return self.numbers * self.count

    def on(self, ranks: int) -> Tensors:
        """What one of so many tensor-parallel ranks holds."""
        return replace(self, numbers=self.numbers // ranks, cut=False) if self.cut else self

    def times(self, blocks: int) -> Tensors:
        """Those of so many blocks."""
        return replace(self, count=self.count * blocks)


@dataclass(frozen=True)
class Parts:
    """A model's tensors, by where a pipeline puts them.

    Attributes:
        first: before the blocks.
        block: one block; of an encoder-decoder one of either side.
        last: after the blocks.
        shared: of ``first``, what the last stage needs a copy of.
    """

    first: list[Tensors]
    block: list[Tensors]
    last: list[Tensors]
    shared: list[Tensors]

    def whole(self, layers: int) -> list[Tensors]:
        """Those of the whole model; a shared tensor is there once."""
        return [*self.first, *(one.times(layers) for one in self.block), *self.last]


@dataclass(frozen=True)
class Linear:
    """Equal linear layers, one matrix each, that adapters may stand beside.

    Attributes:
        name: the end of their names, long enough to tell them from others.
        inputs: width of what goes in.
        outputs: width of what comes out.
        count: how many the whole model has.
        stack: of the tokens that they are multiplied with, in the order of `Family.seen`.
    """

    name: str
    inputs: int
    outputs: int
    count: int
    stack: int = 0


@dataclass(frozen=True)
class Saved:
    """Numbers that one block saves for a token.

    Attributes:
        hidden: times the width of the residual stream.
        hidden32: the same, in fp32 whatever the precision (norms).
        keys: times the width of keys and values.
        keys32: the same in fp32.
        feed: times the width of the feed-forward layer.
        scores: times heads x length, in fp32 (attention with a bias).
    """

    hidden: int
    hidden32: int
    keys: int
    keys32: int
    feed: int
    scores: int = 0


def whole_row(length: int) -> tuple[int, ...]:
    """A model of one stack sees the row as it is."""
    return (length,)


@dataclass(frozen=True)
class Family:
    """One architecture. How it may be cut is not here: `proven.json` says so, for each of its variants.

    Attributes:
        architecture: as `ModelShape.architecture` has it.
        name: as the table of proven layouts has it.
        title: for people.
        builtin: its name in a manifest, where it is built from sizes and a seed; None where it is not.
        model_type: as a ``config.json`` names it.
        read: fields of its shape from a ``config.json``.
        task: what it learns where the job does not say.
        grouped: whether it has key/value groups, and embeddings that may be tied or not.
        saved: what a block keeps for the backward pass.
        parts: its tensors.
        linears: its linear layers but the output layer.
        seen: tokens of a row of so many that each of its stacks sees: one, or encoder and decoder.
        infills: whether it learns hidden spans as BART does: each is a mask token, the whole text is written.
    """

    architecture: str
    name: str
    title: str
    builtin: BuiltinModel | None
    task: Task
    grouped: bool
    saved: Saved
    parts: Callable[[ModelShape], Parts]
    linears: Callable[[ModelShape], list[Linear]]
    read: Callable[[Config], dict[str, object]]
    model_type: str
    seen: Callable[[int], tuple[int, ...]] = whole_row
    infills: bool = False

    def variant(self, switches: tuple[str, ...]) -> str:
        """Its name in the table of proven layouts: other switches are other code, with rows of its own.

        Tied embeddings are a switch where there are others; elsewhere they always are.
        """
        tied = "-tied" if self.grouped and TIED in switches else ""
        return " ".join([f"{self.name}{tied}", *(one for one in switches if one != TIED)])


def numbers_of(tensors: list[Tensors]) -> int:
    """Numbers in all."""
    return sum(one.total for one in tensors)
