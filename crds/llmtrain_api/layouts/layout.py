"""How a gang is cut: data x sequence x tensor x pipeline ranks, and the ZeRO stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

Size = Annotated[int, Field(ge=1, le=1 << 20)]


@dataclass(frozen=True)
class Place:
    """One rank's coordinates in a layout."""

    data: int
    tensor: int
    pipeline: int
    sequence: int


@dataclass(frozen=True)
class Layout:
    """Sizes of the four dimensions; their product is the world size.

    Ranks are numbered with tensor fastest, then sequence, then data, then pipeline: the ranks that talk most
    are on one node. DeepSpeed numbers its groups the same way.

    Attributes:
        zero: ZeRO stage; what the data-parallel ranks shard.
        why: how the stage was chosen.
    """

    data: Annotated[Size, Field(description="Ranks that train on different samples.")] = 1
    tensor: Annotated[Size, Field(description="Ranks that share each matrix of a layer.")] = 1
    pipeline: Annotated[Size, Field(description="Stages that the layers are cut into.")] = 1
    sequence: Annotated[Size, Field(description="Ranks that share each sequence.")] = 1
    zero: Annotated[int, Field(ge=0, le=3, description="ZeRO stage: what the data-parallel ranks shard.")] = 1
    why: Annotated[str, Field(max_length=256, description="How the stage was chosen.")] = field(
        default="", compare=False
    )

    @property
    def world(self) -> int:
        """Ranks in all."""
        return self.data * self.tensor * self.pipeline * self.sequence

    @property
    def kind(self) -> str:
        """Which dimensions are used, without their sizes: ``dp``, ``tp``, ``tp+dp``, ``one``, ..."""
        model = [
            name
            for name, size in (("tp", self.tensor), ("pp", self.pipeline), ("sp", self.sequence))
            if size > 1
        ]
        return "+".join([*model, *(["dp"] if self.data > 1 else [])]) or "one"

    def place(self, rank: int) -> Place:
        """Coordinates of a rank."""
        rest, tensor = divmod(rank, self.tensor)
        rest, sequence = divmod(rest, self.sequence)
        pipeline, data = divmod(rest, self.data)
        return Place(data, tensor, pipeline, sequence)

    def __str__(self) -> str:
        sizes = [("dp", self.data), ("tp", self.tensor), ("pp", self.pipeline), ("sp", self.sequence)]
        used = [f"{name}{size}" for name, size in sizes if size > 1 or name == "dp"]
        return " ".join([*used, f"zero{self.zero}"])
