"""``evaluation.tasks`` as the launcher sees it: looked for before training, and run after it. No torch.

Whatever a task, its data or the library does, the model is there: nothing of it fails or holds up the job.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

from llmtrain_api import JobFile, Results, TasksResult, changed
from llmtrain_api.names import (
    DATASET_SECRET_PREFIX,
    MODEL_SECRET_PREFIX,
    PUBLISH_SECRET_PREFIX,
    tracker_secret_prefix,
)
from llmtrain_api.schema.evaluation_tasks import EvaluationTasks

from .. import log, process
from ..errors import ConfigError, Interrupted
from ..evaluate.task_files import FIELD, folder_of_tasks, require_readable
from ..files import read_json, write_json
from ..records import TasksRecord, record_or_none
from .attempt import Attempt, required
from .torchrun import POLL, environment, last_line, tail_of

LIBRARY = "lm_eval"
IMAGE = (
    "use an image built by trainer_image/lm_eval.Dockerfile, which adds it to the trainer's, in spec.image, "
    "or remove the field"
)
SECRETS = ("AWS_", "HF_TOKEN", DATASET_SECRET_PREFIX, MODEL_SECRET_PREFIX, PUBLISH_SECRET_PREFIX)
"""What variables begin with that the process of the tasks does not get."""


def require_tasks(job: JobFile) -> None:
    """Look for the library and the tasks, before anything is done for long.

    Raises:
        ConfigError: the image has no library, or the folder has no such tasks.
    """
    asked = job.spec.evaluation.tasks
    if asked is None:
        return
    if importlib.util.find_spec(LIBRARY) is None:
        raise ConfigError(f"{FIELD}: the image has no {LIBRARY}", IMAGE)
    require_readable(asked, folder_of_tasks(job, asked))


def measure_tasks(attempt: Attempt, asked: EvaluationTasks) -> None:
    """Run the tasks in a process of their own, and put into the results what became of that.

    Raises:
        Interrupted: asked to stop meanwhile.
    """
    output, uid = required(attempt.start, "start").output, attempt.job.job.uid
    known = record_or_none(output.tasks, TasksRecord)
    if known is not None and known.is_done(uid):
        log.get().info("the tasks were measured before", figures=len(known.tasks.figures))
    else:
        error = _run(attempt, asked)
        known = record_or_none(output.tasks, TasksRecord)
        if known is None or known.job_uid != uid:
            error = error or "the process of the tasks has left no word"
            known = TasksRecord(job_uid=uid, tasks=TasksResult(error=error[:512]))
    if known.tasks.error:
        log.get().warning("the tasks have no figures", error=known.tasks.error)
    results = Results.model_validate(read_json(output.results) or {})
    write_json(output.results, changed(results, tasks=known.tasks).to_json())


def _run(attempt: Attempt, asked: EvaluationTasks) -> str | None:
    """Wait for the process, as long as it may take; what went wrong, if something did."""
    output = required(attempt.start, "start").output
    output.tasks.unlink(missing_ok=True)
    path = output.logs(attempt.job.attempt) / "tasks.log"
    command = [sys.executable, "-m", "llmtrain_trainer", "tasks", attempt.path]
    hidden = (*SECRETS, tracker_secret_prefix(None))
    env = {name: value for name, value in environment().items() if not name.startswith(hidden)}
    log.get().info("measuring tasks", names=asked.names)
    try:
        child = process.start(command, env, path)
    except OSError as error:
        return f"the process of the tasks could not be started ({error.strerror})"
    until = time.monotonic() + 60 * asked.minutes
    while child.poll() is None:
        late = time.monotonic() > until
        if attempt.stop.asked or late:
            _kill_session(child)
            if not late:
                raise Interrupted("asked to stop while tasks were measured")
            return f"they took longer than {asked.minutes} minutes; raise {FIELD}.minutes, or set a limit"
        time.sleep(POLL)
    _kill_session(child)
    if not child.returncode:
        return None
    return f"the process of the tasks ended with {child.returncode}: {last_line(tail_of(path))[:300]}"


def _kill_session(child: subprocess.Popen[bytes]) -> None:
    """End the process and all that it has begun."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
