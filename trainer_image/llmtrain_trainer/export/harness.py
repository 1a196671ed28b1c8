"""``llmtrain_trainer tasks``: an exported model on tasks of the lm-evaluation-harness.

The library is of another image than the trainer's, so nothing here is imported before it is asked for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, Results, TaskFigure, TasksResult, changed
from llmtrain_api.messages import figure
from llmtrain_api.schema.evaluation_tasks import EvaluationTasks

from .. import log
from ..data.store import read_marker
from ..errors import ConfigError
from ..evaluate.task_files import folder_of_tasks, require_readable
from ..files import read_json, write_json
from ..models.location import folder_of
from ..records import TasksRecord
from ..storage.start_marker import Start

MOST_FIGURES = 64
RESAMPLES = 1000
"""Of a standard error that no formula gives."""


def measure_tasks(job: JobFile, start: Start) -> None:
    """Run the tasks, and leave what became of them; then the card tells of them too."""
    asked, output = job.spec.evaluation.tasks, start.output
    assert asked is not None
    model = folder_of(job) if job.spec.evaluation.only else output.export
    folder = folder_of_tasks(job, asked)
    try:
        if model is None:
            raise ConfigError("there is no model to ask")
        found = _measured(job, asked, folder, model)
    except Exception as error:  # whatever a task or the library does: the model is there
        line = next(iter(str(error).strip().splitlines()), "")
        log.get().warning("the tasks have failed", error=repr(error)[:500])
        found = TasksResult(error=f"{type(error).__name__}: {line}"[:512])
    write_json(output.tasks, TasksRecord(job_uid=job.job.uid, tasks=found).to_json())
    if found.error is None and output.export.is_dir():
        _tell_card(job, start, found)


def _tell_card(job: JobFile, start: Start, found: TasksResult) -> None:
    from .card import FILE, write_card

    marker = read_marker(start.output.data)
    results = Results.model_validate(read_json(start.output.results) or {})
    if marker is None:
        return
    with tempfile.TemporaryDirectory(dir=start.fence.folder) as private:
        write_card(job, start, marker, changed(results, tasks=found), Path(private))
        if (Path(private) / FILE).is_file():
            (Path(private) / FILE).replace(start.output.export / FILE)


def _measured(job: JobFile, asked: EvaluationTasks, folder: Path, model: Path) -> TasksResult:
    """The figures of all tasks.

    Args:
        job: whose model it is.
        asked: which tasks.
        folder: where they lie.
        model: a Hugging Face folder.
    """
    require_readable(asked, folder)  # once more: it may have changed while the model was trained
    model, folder = model.resolve(), folder.resolve()
    with tempfile.TemporaryDirectory() as private:
        os.environ.update(
            HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_CACHE=private
        )
        os.chdir(folder)  # data are named from there
        import lm_eval
        import torch
        from lm_eval.tasks import TaskManager

        if not asked.code:
            _without_code()
        told = lm_eval.simple_evaluate(
            model="hf",
            model_args={"pretrained": str(model), "dtype": "auto", "trust_remote_code": False},
            tasks=list(asked.names),
            task_manager=TaskManager(include_path=str(folder), include_defaults=False),
            batch_size=job.spec.training.micro_batch_size,
            device="cuda" if torch.cuda.is_available() else "cpu",
            limit=asked.limit,
            log_samples=False,
            bootstrap_iters=RESAMPLES,
        )
        figures = list(figures_of(told))
        os.chdir("/")
    for one in figures:
        log.get().info("task measured", **one.to_json())
    if len(figures) > MOST_FIGURES:
        log.get().warning(
            "figures of tasks are left out of the results", there=len(figures), told=MOST_FIGURES
        )
    return TasksResult(library=lm_eval.__version__, figures=figures[:MOST_FIGURES])


def _without_code() -> None:
    """Templates are rendered in a sandbox, and no metric is loaded that the library does not bring."""
    import evaluate
    import lm_eval.utils
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refused(name: str, *_: Any, **__: Any) -> Any:
        raise ConfigError(f"metric {name!a} is none of lm_eval's own", "use one of these")

    usual = lm_eval.utils.env
    safe = ImmutableSandboxedEnvironment(
        loader=usual.loader, undefined=usual.undefined, keep_trailing_newline=usual.keep_trailing_newline
    )
    safe.filters.update(usual.filters)
    lm_eval.utils.env = safe
    evaluate.load = refused


def figures_of(told: dict[str, Any]) -> Iterator[TaskFigure]:
    """Each metric of each task, of what the library returns; groups and aliases are left out.

    Args:
        told: see ``lm_eval.result_schema.EvalResults``.
    """
    for task, metrics in sorted(told["results"].items()):
        counts = told["n-samples"].get(task)
        for name, value in sorted(metrics.items()):
            metric, comma, by = name.partition(",")
            known = figure(float(value)) if isinstance(value, int | float) else None
            if counts is None or not comma or metric.endswith("_stderr") or known is None:
                continue
            error = metrics.get(f"{metric}_stderr,{by}")
            yield TaskFigure(
                task=task[:256],
                metric=metric if by == "none" else name,
                value=known,
                stderr=figure(float(error)) if isinstance(error, int | float) else None,
                rows=counts["effective"],
                of=counts["original"],
                version=str(told["versions"].get(task)),
            )
