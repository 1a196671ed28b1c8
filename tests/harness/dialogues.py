"""Dialogues that people wrote: the English part of ChatterBot's corpus (BSD), as rows for `task: chat`.

Package ``chatterbot-corpus``: about 900 dialogues in YAML, most of them one question and one answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.packaged import Packaged

ROLES = ("user", "assistant")
ALL = "dialogues.jsonl"
Message = dict[str, str]
Row = dict[str, list[Message]]


def row_of(turns: list[str]) -> Row:
    """A dialogue's row: the user begins, and what the user says last without an answer is left out."""
    answered = turns[: len(turns) // 2 * 2]
    return {"messages": [{"role": ROLES[at % 2], "content": text} for at, text in enumerate(answered)]}


def make_rows(unpacked: Path, folder: Path) -> None:
    """One file of rows in the order of the corpus' files; each dialogue once: some are there 100 times."""
    [english] = unpacked.rglob("data/english")
    texts = [file.read_text(encoding="utf-8") for file in sorted(english.glob("*.yml"))]
    files = [yaml.load(text, yaml.CSafeLoader) for text in texts]
    rows = [row_of(turns) for file in files for turns in file["conversations"] if len(turns) > 1]
    lines = dict.fromkeys(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / ALL).write_text("".join(lines), encoding="utf-8")


@dataclass(frozen=True)
class Dialogues:
    """Rows in two parts that share neither a first question nor an answer.

    Attributes:
        train: what a job may read.
        held_out: what it must not see.
    """

    train: list[Row]
    held_out: list[Row]

    def write(self, folder: Path) -> Path:
        """A folder with the rows to train on, in two files."""
        folder.mkdir(parents=True, exist_ok=True)
        half = len(self.train) // 2
        for name, rows in (("a.jsonl", self.train[:half]), ("b.jsonl", self.train[half:])):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return folder


def parted(folder: Path, every: int = 10) -> Dialogues:
    """The corpus with all dialogues of each ``every``-th first question held out.

    A question has up to a dozen answers there, and an answer some questions: none may be told from memory.
    """
    rows: list[Row] = [json.loads(line) for line in (folder / ALL).read_text(encoding="utf-8").splitlines()]
    numbers: dict[str, int] = {}
    for row in rows:
        numbers.setdefault(_question(row), len(numbers))
    train = [row for row in rows if numbers[_question(row)] % every]
    seen = {answer for row in train for answer in _answers(row)}
    apart = [row for row in rows if numbers[_question(row)] % every == 0 and not seen & set(_answers(row))]
    return Dialogues(train, apart)


def _question(row: Row) -> str:
    return row["messages"][0]["content"].strip().lower()


def _answers(row: Row) -> list[str]:
    return [one["content"] for one in row["messages"] if one["role"] == "assistant"]


CHATTERBOT = Packaged(
    "chatterbot",
    "chatterbot-corpus==1.3.3",
    "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    make_rows,
)
