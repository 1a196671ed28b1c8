"""``llmtrain eval``: a model measured on data, by a job of this machine that trains nothing."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from . import output
from .laptop import ENV_COMMAND, Runs, typed
from .options import Format, Output, Settings

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="An export, a job's output, OWNER/NAME of the hub, or where it lies."
    ),
]
Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A file or folder of texts or rows, or where they lie.")
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task", metavar="TASK", help="What is measured (default: what the model was trained for)."
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the job (default: eval-MODEL).")
]


def evaluate(
    model: Model,
    data: Data,
    task: Task = None,
    name: Name = None,
    settings: Settings = None,
    runs: Runs = Path("runs"),
    form: Output = Format.TABLE,
) -> None:
    """Measure a model as it is on data of yours, on this machine: loss, perplexity, how its answers compare.

    It is a job with evaluation.only, as `llmtrain run` runs it; its results lie in runs/evaluations/NAME.
    What it writes is compared with right answers where --set evaluation.answerMetrics=... names metrics.

    Exit codes: 0 measured, 1 failed, 2 a mistake in what was asked, 75 stopped.
    """
    from llmtrain.evaluating import evaluation_job
    from llmtrain_operator.local.command import Request, run
    from llmtrain_operator.local.saved_jobs import JobFolder
    from llmtrain_operator.local.scale_down import GangOverrides

    document = evaluation_job(model, data, task, name, settings or ())
    meta, here = document["metadata"], runs.absolute()
    with tempfile.TemporaryDirectory(prefix="llmtrain-eval-") as folder:
        path = Path(folder, f"{meta['name']}.json")
        path.write_text(json.dumps(document))
        command = os.environ.get(ENV_COMMAND) or typed(sys.argv)
        request = Request(path, here, None, GangOverrides(None, None), new=True, command=command)
        code = run(request, sys.stderr if form.for_programs else sys.stdout)
    saved = JobFolder(here, meta["namespace"], meta["name"]).load() if code == 0 else None
    if saved is not None and saved.job.status.results is not None:
        output.data(saved.job.status.results.to_json(), form)
    raise typer.Exit(code)
