"""Rules over ``spec.checkpoint`` and what else it must fit."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.spec import JobSpec

IN_A_FOLDER = (
    "a checkpoint of another job is copied between folders, and output.uri is in an object store; use an "
    "output on a claim (pvc://), or model.name with the other job's export"
)


def _in_a_folder(spec: JobSpec) -> str | None:
    return IN_A_FOLDER if spec.checkpoint.source is not None and spec.output.in_object_store else None


RULES: tuple[Rule, ...] = (
    Rule(
        "!has(self.checkpoint.from) || !self.output.uri.startsWith('s3://')",
        ".checkpoint",
        IN_A_FOLDER,
        _in_a_folder,
    ),
)
