"""Held-out questions beside their rows: what a place in a window means, and which answers are right."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .sample import Sample
from .windows import Window

WRITTEN, FILE = "questions.jsonl", "questions.json"
"""All held-out questions while rows are written, and those of the rows that are used."""


@dataclass
class Questions:
    """The questions of a job, as they come.

    Attributes:
        path: of the file that takes those that are held out.
        told: how many there are on either side, and how many have no answer.
    """

    path: Path
    told: dict[str, Counter[str]] = field(
        default_factory=lambda: {side: Counter(all=0, withoutAnswer=0) for side in ("train", "heldOut")}
    )

    def add(self, source: int, sample: Sample, windows: Sequence[Window], *, held_out: bool) -> None:
        """One more, whose rows were written."""
        self.told["heldOut" if held_out else "train"].update(all=1, withoutAnswer=not sample.answers)
        if not held_out:
            return
        said = {
            "source": source,
            "context": sample.texts[1],
            "answers": [answer.text for answer in sample.answers or ()],
            "windows": [{"first": one.first, "offsets": one.offsets} for one in windows],
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(said) + "\n")

    def report(self) -> dict[str, dict[str, int]]:
        """For people, and for whoever says that there is no answer."""
        return {side: dict(counts) for side, counts in self.told.items()}


def choose_questions(folder: Path, used: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which held-out rows are used, so that each question has all of its windows; leaves `FILE`.

    Args:
        folder: of the data.
        used: rows of each source at most; where there are some, one question is used at least.

    Returns:
        The rows, and how many of each source they are.
    """
    lines = (folder / WRITTEN).read_text(encoding="utf-8").splitlines() if any(used) else []
    every = [json.loads(line) for line in lines]
    rows, counts, kept, first = list[int](), list[int](), list[dict[str, Any]](), 0
    for number, most in enumerate(used):
        own = [one for one in every if one["source"] == number]
        begins = first + np.cumsum([0, *(len(one["windows"]) for one in own)])
        there = int(begins[-1]) - first
        asked = max(1, most * len(own) // there) if there and most else 0
        before = len(rows)
        for at in np.linspace(0, len(own) - 1, asked).astype(int).tolist():
            span = range(int(begins[at]), int(begins[at + 1]))
            if len(rows) == before or len(rows) - before + len(span) <= most:
                rows += span
                kept.append(own[at])
        counts.append(len(rows) - before)
        first = int(begins[-1])
    (folder / FILE).write_text(json.dumps(kept), encoding="utf-8")
    (folder / WRITTEN).unlink(missing_ok=True)
    return rows, counts
