"""What published recipes train with, by what is learnt and the size of the model.

A row of ``recipes.json`` is one model of a paper, or of the files that its authors trained with. What the
source does not say is left out. Recipes are for people to choose by: nothing is decided by them.
"""

from __future__ import annotations

import json
import math
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import Field

from .schema.base import ApiModel
from .schema.preference import PreferenceLoss
from .schema.task import Task

TABLE = Path(__file__).with_name("recipes.json")


class Use(StrEnum):
    """What is learnt, as people look for it."""

    PRETRAIN = "pretraining"
    CHAT = "chat"
    CHAT_ADAPTER = "chat with LoRA"
    FINETUNE_ADAPTER = "fine-tuning with LoRA"
    DPO = "preference (dpo)"
    DPO_ADAPTER = "preference (dpo) with LoRA"
    ORPO = "preference (orpo)"
    KTO = "preference (kto)"
    REWARD = "reward"
    CLASSIFICATION = "classification"
    TAGS = "tokenClassification"
    QUESTIONS = "questionAnswering"
    TEXT2TEXT = "text2text"
    MASKED = "masked pretraining"
    SEQ2SEQ = "seq2seq pretraining"


class Recipe(ApiModel):
    """One row. A share such as ``3 %`` is of all steps; a length is in the source's own unit."""

    use: Use
    model: str = Field(description="Whose recipe it is.")
    parameters: int = Field(gt=0)
    rate: float = Field(gt=0, le=1, description="Peak learning rate.")
    warmup: str = ""
    schedule: str = ""
    batch: str = Field(default="", description="Of a step.")
    length: str = Field(default="", description="How long it trains.")
    decay: float | None = Field(default=None, ge=0, le=1, description="Weight decay.")
    betas: str = ""
    adapter: str = Field(default="", description="Rank and alpha.")
    source: str = Field(min_length=1, description="Where it says so.")

    @property
    def size(self) -> str:
        """Parameters as people say them."""
        return f"{self.parameters / 1e9:g}B" if self.parameters >= 1e9 else f"{self.parameters / 1e6:g}M"

    @property
    def text(self) -> str:
        """The row in one line."""
        told = {
            "learning rate": f"{self.rate:g}",
            "warm-up": self.warmup,
            "schedule": self.schedule,
            "a step": self.batch,
            "for": self.length,
            "weight decay": "" if self.decay is None else f"{self.decay:g}",
            "betas": self.betas,
            "LoRA": self.adapter,
        }
        said = ", ".join(f"{name} {value}" for name, value in told.items() if value)
        return f"{self.model}, {self.use}: {said} ({self.source})"


@cache
def recipes() -> tuple[Recipe, ...]:
    """All rows, in the order of the file."""
    return tuple(Recipe.model_validate(row, extra="forbid") for row in json.loads(TABLE.read_text()))


_OF_TASK = {
    Task.REWARD: Use.REWARD,
    Task.CLASSIFICATION: Use.CLASSIFICATION,
    Task.REGRESSION: Use.CLASSIFICATION,
    Task.TOKENS: Use.TAGS,
    Task.QUESTIONS: Use.QUESTIONS,
    Task.TEXT2TEXT: Use.TEXT2TEXT,
}
_OF_LOSS = {PreferenceLoss.ORPO: Use.ORPO, PreferenceLoss.KTO: Use.KTO}
_FROM_NOTHING = {Task.CAUSAL: Use.PRETRAIN, Task.MASKED: Use.MASKED, Task.SEQ2SEQ: Use.SEQ2SEQ}
_ADAPTERS = {Task.CAUSAL: Use.FINETUNE_ADAPTER, Task.CHAT: Use.CHAT_ADAPTER}


def use_of(task: Task, *, pretrained: bool, adapted: bool, loss: PreferenceLoss | None = None) -> Use | None:
    """What a job learns, as recipes are looked for; None where there is no recipe for it.

    Args:
        task: of the job.
        pretrained: whether it starts from weights that there are.
        adapted: whether adapters are trained, and no other weights.
        loss: of pairs of answers; None = the usual one.
    """
    if not pretrained:
        return _FROM_NOTHING.get(task)
    if task is Task.PREFERENCE:
        return _OF_LOSS.get(loss or PreferenceLoss.DPO, Use.DPO_ADAPTER if adapted else Use.DPO)
    if adapted and task in _ADAPTERS:
        return _ADAPTERS[task]
    return Use.CHAT if task is Task.CHAT else _OF_TASK.get(task)


def nearest(use: Use, parameters: int) -> Recipe:
    """The recipe of that use whose model is the nearest in size, by its logarithm; the first of equals."""
    rows = [row for row in recipes() if row.use is use]
    return min(rows, key=lambda row: abs(math.log(row.parameters / max(1, parameters))))
