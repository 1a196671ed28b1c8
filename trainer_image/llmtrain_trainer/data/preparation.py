"""What the steps of data preparation hand to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, Task, task_of
from llmtrain_api.schema.source import RANDOM_TOKENS

from ..files import digest_of
from ..special_tokens import Tokens
from .progress import ProgressLog
from .reading.counts import ReadCounts
from .reading.survey import Survey
from .rows import Side
from .sources import Text
from .store import TOKENIZER, Marker
from .tokenizer import Cut
from .units.plan import Unit
from .units.token_set import TokenSet


@dataclass(frozen=True)
class Borrowed:
    """What the rows of a set that is measured apart are made by, though its text is its own.

    Attributes:
        text: the set.
        tokenizer: folder of the tokenizer of the data that are trained on.
        labels: classes that the model knows; none without classes.
    """

    text: Text
    tokenizer: Path
    labels: list[str]


@dataclass
class Preparation:
    """One data folder in the making. What has no default is there once a step has left it.

    Attributes:
        job: whose data they are.
        folder: that is filled.
        sets: folder of token sets, each of which serves many jobs; see `units.token_set`.
        progress: told of the text that is passed.
        glance: bytes of each source that are looked at; None for all that the job reads.
        borrowed: what a set that is measured apart takes from the data that are trained on; None for these.
        sources: of text; none for noise.
        surveys: the files of each source.
        units: of each source.
        bytes_total: of the files of all sources.
        set_key: all that the tokens depend on.
        copies: folder that says which documents are copies of others; None where none is dropped.
        tokenizer: trained, or a word an id for noise.
        tokens: the tokenizer's special ones.
        cut: how a text is cut for the tokenizer.
        train: the training rows.
        held_out: the held-out rows.
        counts: what was read of each source.
        token_set: the tokens of all text; None for data that have rows of their own.
        used: how many held-out rows of each source evaluation uses.
        entropy: of the tokens that evaluation predicts.
        parameters: of the initial model.
        marker: the last file of the folder.
        labels: the classes of samples in their order, or the name of the one number that is told.
        told_of_labels: how often there is what, for the report.
        told_of_sets: what each set came to that is measured apart, for the report.
    """

    job: JobFile
    folder: Path
    sets: Path
    progress: ProgressLog = field(default_factory=ProgressLog)
    glance: int | None = None
    borrowed: Borrowed | None = None
    sources: list[Text] = field(init=False)
    surveys: list[Survey] = field(init=False)
    units: list[list[Unit]] = field(init=False)
    bytes_total: int = field(init=False)
    set_key: dict[str, Any] = field(init=False)
    copies: Path | None = field(init=False)
    tokenizer: Any = field(init=False)
    tokens: Tokens = field(init=False)
    cut: Cut = field(init=False)
    train: Side = field(init=False)
    held_out: Side = field(init=False)
    counts: list[ReadCounts] = field(init=False)
    token_set: TokenSet | None = field(init=False)
    used: list[int] = field(init=False)
    entropy: float = field(init=False)
    parameters: int = field(init=False)
    marker: Marker = field(init=False)
    labels: list[str] = field(init=False)
    told_of_labels: dict[str, Any] = field(init=False)
    told_of_sets: list[dict[str, Any]] = field(init=False)

    @property
    def set_name(self) -> str:
        """Name of the token set."""
        return digest_of(self.set_key)[:16]

    @property
    def set_folder(self) -> Path:
        """Where the token set lies."""
        return self.sets / self.set_name

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer lies as Hugging Face libraries read it."""
        return self.borrowed.tokenizer if self.borrowed else self.folder / TOKENIZER

    @property
    def dtype(self) -> str:
        """Numpy name of the token ids."""
        return "uint16" if self.job.shape.vocabulary <= 1 << 16 else "uint32"

    @property
    def task(self) -> Task:
        """What the job's model learns."""
        return task_of(self.job.spec, self.job.shape)

    @property
    def chat(self) -> bool:
        """Whether rows are of dialogues, which a chat template renders."""
        return self.task.on_dialogues

    @property
    def pairs(self) -> bool:
        """Whether each row is a pair of answers."""
        return self.task.on_pairs and not self.judged

    @property
    def judged(self) -> bool:
        """Whether each row is an answer that is desirable or not."""
        return self.job.spec.judges_answers

    @property
    def rewarded(self) -> bool:
        """Whether each row is a prompt that the model writes answers to."""
        return self.task is Task.REINFORCEMENT

    @property
    def seen(self) -> bool:
        """Whether each row is a dialogue with images."""
        return self.task is Task.IMAGE_CHAT

    @property
    def whole_rows(self) -> bool:
        """Whether a row of a file is a dialogue or a sample; these have no token set."""
        return self.chat or self.task.on_samples

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
