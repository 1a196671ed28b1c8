"""What a model comes to on each set of ``evaluation.datasets``, apart from what was held out.

One process computes, as it does for all of an export, so the figures do not depend on how many ranks trained.
Nothing is kept of a measurement that was cut off: the next attempt makes all of it again, into one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtrain_api import DatasetResult, JobFile, Results, task_of
from llmtrain_api.messages import figure

from .. import log
from ..batch import BatchPlan
from ..data.loader import each_held_out_pass, open_held_out
from ..data.store import SETS, Marker
from ..evaluate.heldout import ALONE, loss_sum
from ..evaluate.placement import device_of
from ..files import discard
from ..floats import finite, perplexity
from ..output import Output
from ..tasks import encoder
from ..telemetry.tensorboard import DATASETS, Board
from .compared import answers_of, scores_of
from .opened import Opened


def datasets_of(job: JobFile, opened: Opened, data: Path, marker: Marker) -> list[DatasetResult]:
    """Each set by itself, in their order.

    Args:
        job: whose model it is.
        opened: the model.
        data: the prepared data.
        marker: of them.
    """
    told = {one["name"]: one for one in marker.report.get("datasets", [])}
    return [
        _measured(job, opened, data / SETS / one.name, marker, told[one.name])
        for one in job.spec.evaluation.datasets
    ]


def _measured(
    job: JobFile, opened: Opened, folder: Path, marker: Marker, told: dict[str, Any]
) -> DatasetResult:
    task, rows = task_of(job.spec, job.shape), open_held_out(folder)
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    encode = encoder(job.spec, job.shape, marker.special)
    passes = each_held_out_pass(rows, plan, ALONE, encode, device_of())
    losses, labels = loss_sum(opened.model, passes, encode.objective)
    loss = finite(losses / labels) if labels else None
    if not labels:
        log.get().warning("nothing of an evaluation set asks for an answer", dataset=told["name"])
    asked = job.spec.evaluation.answer_metrics and opened.sane
    found = DatasetResult(
        name=told["name"],
        documents=told["documents"],
        sequences=len(rows),
        of=told["sequences"]["there"],
        tokens=labels,
        eval_loss=figure(loss),
        perplexity=None if loss is None or task.headed else figure(perplexity(loss)),
        answers=answers_of(job, opened, folder) if asked else None,
        scores=scores_of(job, opened.model, folder, marker, rows) if task.headed and labels else None,
    )
    log.get().info("evaluation set measured", dataset=found.name, loss=found.eval_loss, tokens=labels)
    return found


def write_curves(job: JobFile, output: Output, results: Results) -> None:
    """A point of each set for TensorBoard, in the place of what an earlier attempt has written."""
    points = {f"eval/{one.name}/loss": one.eval_loss for one in results.datasets}
    if not points:
        return
    for number in range(job.attempt + 1):
        discard(output.logs(number) / "tensorboard" / DATASETS)
    board = Board(output.logs(job.attempt) / "tensorboard" / DATASETS, 0)
    board.measured(results.steps or 0, points)
    board.close()
