"""``spec.entrypoint``: a program of one's own in place of the trainer, in the same gang."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import ApiModel

Word = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Argument = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]


class Starter(StrEnum):
    """Who starts the processes of a node."""

    TORCHRUN = "torchrun"
    NONE = "none"


class EntrypointSpec(ApiModel):
    """A program of one's own: each node runs it in the place of the trainer. See docs/own-programs.md."""

    command: list[Word] = Field(
        min_length=1,
        max_length=64,
        description="The program and its arguments, such as [python3, train.py]. It is run as it is, without "
        "a shell.",
    )
    args: list[Argument] = Field(
        default_factory=list, max_length=256, description="Further arguments of the program."
    )
    starter: Starter = Field(
        default=Starter.TORCHRUN,
        description="torchrun starts the program once for each GPU (or processesPerNode) of a node; none "
        "starts it once on each node, which is then one rank, for programs that start their own processes. "
        "Both set RANK, WORLD_SIZE, LOCAL_RANK, NODE_RANK, MASTER_ADDR, MASTER_PORT and PET_*.",
    )

    @property
    def words(self) -> list[str]:
        """The program and all of its arguments."""
        return [*self.command, *self.args]
