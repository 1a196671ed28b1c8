"""What the steps of data preparation hand to each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile
from llmtrain_api.schema.dataset import RANDOM_TOKENS

from ..tasks import Tokens
from .progress import ProgressLog
from .reading.counts import ReadCounts
from .rows import SequenceWriter
from .sources import Text
from .store import Marker


@dataclass
class Preparation:
    """One data folder in the making. What has no default is there once a step has left it.

    Attributes:
        job: whose data they are.
        folder: that is filled.
        progress: told of the text that is passed.
        sources: of text; none for noise.
        bytes_total: of the files of all sources.
        tokenizer: trained, or a word an id for noise.
        tokens: the tokenizer's special ones.
        cut: how a text is cut for the tokenizer.
        train: the training rows.
        held_out: the held-out rows.
        counts: what was read of each source.
        used: how many held-out rows of each source evaluation uses.
        entropy: of the tokens that evaluation predicts.
        parameters: of the initial model.
        marker: the last file of the folder.
    """

    job: JobFile
    folder: Path
    progress: ProgressLog = field(default_factory=ProgressLog)
    sources: list[Text] = field(init=False)
    bytes_total: int = field(init=False)
    tokenizer: Any = field(init=False)
    tokens: Tokens = field(init=False)
    cut: Callable[[str], Iterable[str]] = field(init=False)
    train: SequenceWriter = field(init=False)
    held_out: SequenceWriter = field(init=False)
    counts: list[ReadCounts] = field(init=False)
    used: list[int] = field(init=False)
    entropy: float = field(init=False)
    parameters: int = field(init=False)
    marker: Marker = field(init=False)

    @property
    def noise(self) -> bool:
        """Whether the job trains on random tokens instead of text."""
        return self.job.spec.dataset.name == RANDOM_TOKENS


@dataclass(frozen=True)
class Step:
    """One step of data preparation.

    Attributes:
        name: for the log.
        needs: attributes of a `Preparation` that steps before it must have left.
        leaves: attributes that it sets.
        run: does it.
    """

    name: str
    needs: tuple[str, ...]
    leaves: tuple[str, ...]
    run: Callable[[Preparation], None]
