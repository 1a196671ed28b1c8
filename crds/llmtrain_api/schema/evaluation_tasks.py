"""``spec.evaluation.tasks``: tasks of the lm-evaluation-harness that the exported model is measured on."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from .base import Rule, RuledModel
from .locations import PART, forms, matches, mistake

MOST_TASKS = 16
TaskName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_.]*$")]


class EvaluationTasks(RuledModel):
    """Tasks of a folder of YAML files."""

    folder: str = Field(
        max_length=512,
        description="pvc://CLAIM/FOLDER or file:///FOLDER with a YAML file for each task, as lm_eval reads "
        "them. Data are files of that folder, named from there (dataset_path: json); nothing is fetched.",
    )
    names: list[TaskName] = Field(
        min_length=1, max_length=MOST_TASKS, description="Tasks and groups of the folder that are run."
    )
    limit: int | None = Field(
        default=None, ge=1, le=10_000_000, description="Rows of each task at most. Default: all."
    )
    code: bool = Field(
        default=False,
        description="Whether the folder's Python code may run in the pod (!function and class): then whoever "
        "writes the folder writes to the output. Without it such a file is refused.",
    )
    minutes: int = Field(
        default=60,
        ge=1,
        le=10_080,
        description="After so many minutes they are ended, and the job succeeds without their figures.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        matches(
            "folder",
            ".folder",
            forms(PART, bucket=False),
            "use pvc://CLAIM/FOLDER or file:///FOLDER; no folder may be empty, '.' or '..'",
            why=lambda uri: mistake(uri, hidden=True, bucket=False),
        ),
    )
