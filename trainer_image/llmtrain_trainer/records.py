"""Files that the trainer's processes leave each other, with who writes and who reads each. Ground.

====================================  =========================  =========================================
file                                  written by                 read by
====================================  =========================  =========================================
``logs/attempt-K/rank-R.end.json``    each rank, at its end      its node's launcher: the root cause
``evaluation.json``                   rank 0, after training     the export, which must reproduce it
====================================  =========================  =========================================

``OWNER``, ``FENCE``, ``attempt-K.ready`` and a checkpoint's ``manifest.json`` are described where they are
written: `checkpoint.ownership`, `checkpoint.fence`, `storage.start_marker`, `checkpoint.manifest`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from llmtrain_api.messages import Outcome
from llmtrain_api.schema.base import ApiModel

R = TypeVar("R", bound=ApiModel)


class RankRecord(ApiModel):
    """How a rank says it ended; a rank that was killed leaves none."""

    outcome: Outcome
    time: float
    type: str = Field(default="", description="Of the exception.")
    message: str = ""
    hint: str = ""
    traceback: str = ""


class EvaluationRecord(ApiModel):
    """The trained engine's held-out loss, and what else the results say of the training."""

    step: int
    loss: float | None = Field(default=None, description="None where it is not finite.")
    tokens: int = Field(description="Labels that it is the mean of.")
    train_loss: float | None = Field(default=None, description="Of the last step.")
    run_state: dict[str, Any] = Field(default_factory=dict)


def characters(text: str) -> str:
    """A text without halves of characters, which names of files may hold and no reader of JSON accepts."""
    return text.encode(errors="replace").decode()


def read_record(path: Path, kind: type[R]) -> R | None:
    """A record, or None where there is no file.

    Raises:
        ValueError: the file is there and cannot be read as one; the path is in the text.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path}: {where}: {first['msg']}") from None
