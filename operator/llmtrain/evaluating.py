"""The job that measures a model on data, made of what a person names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from llmtrain_api import Task
from llmtrain_api.job import MAX_NAME
from llmtrain_api.names import API_VERSION, KIND

from . import manifests
from .errors import Mistake
from .exports import CONFIG, EXPORT, task_in, task_named
from .values import Object

MEASURED = (Task.CAUSAL, Task.CHAT, Task.MASKED, Task.SEQ2SEQ, Task.TEXT2TEXT)
PREFIX = "eval-"


def evaluation_job(
    model: str, data: str, task: str | None, name: str | None, settings: Iterable[str]
) -> Object:
    """A manifest with ``evaluation.only``.

    Args:
        model: a folder of this machine, or what ``model.name`` may be.
        data: a file or folder of this machine, or what ``dataset.name`` may be.
        task: that is measured; None: what the folder tells.
        name: of the job; None: the model's last word.
        settings: more fields of the spec as ``KEY=VALUE``.

    Raises:
        Mistake: with every mistake in it.
    """
    place = _model_folder(model)
    learnt = task_named(task) if task is not None else task_in(place) if place is not None else None
    if learnt is not None and learnt not in MEASURED:
        raise Mistake(
            f"{model} was trained for {learnt}, and what is measured so is {', '.join(MEASURED)}; "
            "its job has its scores in status.results"
        )
    title = name or _name_of(place, model)
    spec = {
        "model": {"name": model if place is None else place.as_uri()},
        "dataset": {"name": _data(data)},
        "evaluation": {"only": True},
        "output": {"uri": f"pvc://evaluations/{title}", "ifExists": "new"},
    }
    if learnt is not None:
        spec["task"] = learnt.value
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": title, "namespace": "default"}}
    document = manifests.with_settings({**body, "spec": spec}, settings)
    manifests.checked(document)
    return document


def _model_folder(model: str) -> Path | None:
    """The folder with the model's configuration; None for what is no folder of this machine."""
    folder = Path(model)
    if not folder.is_dir():
        on_hub = model.count("/") == 1 and not model.startswith((".", "/", "~"))
        if "://" in model or on_hub:
            return None
        raise Mistake(f"{model} is no folder; name the export of a job, or the job's output")
    for place in (folder, folder / EXPORT):
        if (place / CONFIG).is_file():
            return place.resolve()
    raise Mistake(f"{folder} has no {CONFIG}; name the export of a job, or the job's output")


def _data(data: str) -> str:
    path = Path(data)
    if path.exists():
        return path.resolve().as_uri()
    if "://" in data:
        return data
    raise Mistake(f"{data}: there is no such file or folder; name one, or a URI such as pvc://CLAIM/FOLDER")


def _name_of(place: Path | None, model: str) -> str:
    """A name for the job: of the output that an export lies in, or of the model."""
    last = model.rstrip("/").rpartition("/")[2]
    if place is not None:
        last = place.parent.name if place.name == EXPORT else place.name
    words = re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")
    return f"{PREFIX}{words}"[:MAX_NAME].rstrip("-")
