"""Where everything lies in the output folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

STEP = re.compile(r"step-(\d+)")
UP = re.compile(r"node-(\d+)\.(.+)\.up")
IMAGES = "images.bin"
"""In the data folder: the images that rows show."""


@dataclass(frozen=True)
class Output:
    """Paths in one job's output folder."""

    root: Path

    @property
    def owner(self) -> Path:
        """``{jobUid, name, namespace}`` of the job that may write here."""
        return self.root / "OWNER"

    @property
    def fence(self) -> Path:
        """``{jobUid, attempt, holder}`` of the newest writer."""
        return self.root / "FENCE"

    @property
    def complete(self) -> Path:
        """Written last: this job's work is done."""
        return self.root / "COMPLETE"

    @property
    def results(self) -> Path:
        """What the job achieved."""
        return self.root / "results.json"

    @property
    def published(self) -> Path:
        """What became of the push to a hub, so that no attempt pushes once more."""
        return self.root / "published.json"

    @property
    def tasks(self) -> Path:
        """What became of evaluation.tasks, so that no attempt computes them once more."""
        return self.root / "tasks.json"

    @property
    def origin(self) -> Path:
        """The step of another output that this one began with, where it did."""
        return self.root / "origin.json"

    @property
    def evaluation(self) -> Path:
        """The trained engine's held-out loss, which the exported folder must reproduce."""
        return self.root / "evaluation.json"

    @property
    def answers(self) -> Path:
        """Of task reinforcement: answers of the trained engine to held-out prompts, as rows of dialogues,
        whose loss the exported folder must reproduce."""
        return self.root / "heldout-answers.npy"

    @property
    def data(self) -> Path:
        """Tokens, tokenizer and the step-0 model."""
        return self.root / "data"

    @property
    def tokens(self) -> Path:
        """The token sets that rows of `data` are a view of."""
        return self.root / "tokens"

    @property
    def checkpoints(self) -> Path:
        """``step-N`` folders, and the hidden folder of the newest attempt."""
        return self.root / "checkpoints"

    @property
    def export(self) -> Path:
        """The trained model as a Hugging Face folder."""
        return self.root / "export"

    @property
    def program(self) -> Path:
        """All that a program of one's own writes: the trainer writes nothing there."""
        return self.root / "program"

    def ready(self, attempt: int) -> Path:
        """Written by node 0 when data and fence of this attempt are in place: all ranks may start."""
        return self.root / f"attempt-{attempt}.ready"

    def logs(self, attempt: int) -> Path:
        """Logs and endings of every rank of an attempt."""
        return self.root / "logs" / f"attempt-{attempt}"

    def up(self, attempt: int, node_rank: int, uid: str) -> str:
        """Name, below the root, of the file by which a node's launcher lets the others know that it runs."""
        return f"logs/attempt-{attempt}/node-{node_rank}.{uid}.up"

    def nodes_of(self, names: Iterable[str], uid: str) -> set[int]:
        """The nodes whose `up` files are among the names in an attempt's folder of logs."""
        found = (UP.fullmatch(name) for name in names)
        return {int(match[1]) for match in found if match and match[2] == uid}

    def rank_log(self, attempt: int, rank: int) -> Path:
        """Everything that a rank printed."""
        return self.logs(attempt) / f"rank-{rank}.log"

    def rank_end(self, attempt: int, rank: int) -> Path:
        """How a rank says it ended; missing when it was killed."""
        return self.logs(attempt) / f"rank-{rank}.end.json"

    def step(self, step: int) -> Path:
        """A committed checkpoint."""
        return self.checkpoints / f"step-{step}"

    def committed(self) -> list[int]:
        """Steps of all committed checkpoints, newest first, not yet verified."""
        if not self.checkpoints.is_dir():
            return []
        found = (STEP.fullmatch(path.name) for path in self.checkpoints.iterdir())
        return sorted((int(match[1]) for match in found if match), reverse=True)
