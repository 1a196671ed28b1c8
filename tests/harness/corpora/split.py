"""Which rows a job trains on and which it holds out, as the product decides it: by a hash of what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmtrain_api import Task
from llmtrain_trainer.data.chat.dialogue import TakeDialogue
from llmtrain_trainer.data.images.dialogue import TakeImageDialogue
from llmtrain_trainer.data.judged.answer import TakeJudged
from llmtrain_trainer.data.labelled.sample import TakeSample
from llmtrain_trainer.data.pairs.pair import TakePair
from llmtrain_trainer.data.reading.record import Record
from llmtrain_trainer.data.sources import is_held_out


def split_rows(
    task: Task, fields: Mapping[str, str], rows: Sequence[dict[str, Any]], fraction: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows to train on, and those that are held out.

    Args:
        task: that reads them.
        fields: ``dataset.fields`` of the job.
        rows: of its data.
        fraction: its ``heldOutFraction``.
    """
    train: list[dict[str, Any]] = []
    apart: list[dict[str, Any]] = []
    for row in rows:
        (apart if is_held_out(_read(task, fields, row), fraction) else train).append(row)
    return train, apart


def _read(task: Task, fields: Mapping[str, str], row: dict[str, Any]) -> str:
    record = Record(row, "rows.jsonl", 1)
    if task.on_samples:
        return TakeSample(task, dict(fields))(record).item.text
    if task.on_pairs and "label" in row:
        return TakeJudged(dict(fields))(record).item.text
    if task.on_pairs:
        return TakePair(dict(fields))(record).item.text
    if task is Task.IMAGE_CHAT:
        # of an image a row's content is its name, or its bytes
        return TakeImageDialogue(dict(fields))(record).item.text
    if task.on_dialogues:
        return TakeDialogue(dict(fields))(record).item.text
    return str(row["text"])
