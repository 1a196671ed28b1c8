"""The explanation of what a job exports, where it asks for one; no job fails for it, or waits long."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from llmtrain_api import JobFile, task_of

from .. import log
from ..data.loader import open_held_out
from ..data.store import Marker
from ..errors import ConfigError
from ..evaluate.heldout import budget
from ..explain.documents import trained_on
from ..explain.explanation import JSON, PAGE, Compared, explain, write
from ..explain.kinds import Kind, kind_of
from ..explain.nearest import TOKENS as OF_DOCUMENT
from ..explain.nearest import draw
from ..explain.sample import TOKENS, Sample, of_row, room_of
from ..tasks import encoder
from .opened import Opened

SECONDS = 120.0
"""After which no further text or document is begun."""
FEWEST_TOKENS, FEWEST_DOCUMENTS = 16, 8
"""Of which something can be told."""


def write_explanation(job: JobFile, exported: Opened, data: Path, marker: Marker, folder: Path) -> int | None:
    """Write the explanation that a job asks for beside its export.

    Args:
        job: the job.
        exported: its model.
        data: the prepared data.
        marker: of them.
        folder: of the export.

    Returns:
        How many texts it explains; None without one.
    """
    if job.spec.evaluation.explain is None:
        return None
    try:
        samples = _samples(job, exported, data, marker)
        compared = _compared(job, exported, marker)
        found = explain(exported.model, exported.tokenizer, samples, compared, _until(SECONDS))
        write(found, folder)
    except Exception as error:
        log.get().warning("the export has no explanation", error=f"{type(error).__name__}: {error}")
        for name in (JSON, PAGE):
            _remove(folder / name)
        return None
    log.get().info("explained", texts=len(found["texts"]), documents=found["documents"])
    for note in found["notes"]:
        log.get().warning("the explanation is not whole", note=note)
    return len(found["texts"])


def affordable(kind: Kind, parameters: int, texts: int, tokens: int, *, gpu: bool) -> tuple[int, int]:
    """How many texts, of how many tokens, may be explained while the gang's nodes wait; 0 of a large model.

    A forward pass is two operations of each parameter a token; there are two of them, and one back. Of a
    model that fills masks there is one text for each of its tokens.
    """
    left = budget(gpu=gpu)
    while tokens >= FEWEST_TOKENS:
        cost = 6.0 * max(1, parameters) * tokens * (tokens if kind is Kind.HIDDEN else 1)
        if cost <= left:
            return min(texts, int(left / cost)), tokens
        tokens //= 2
    return 0, 0


def _samples(job: JobFile, exported: Opened, data: Path, marker: Marker) -> list[Sample]:
    """Held-out rows, spread over all.

    Raises:
        ConfigError: this model is too large for that here.
    """
    asked, model = job.spec.evaluation.explain, exported.model
    most = asked.texts if asked else 0
    if not exported.sane:
        raise ConfigError("the held-out loss of the model is no number")
    if not exported.resident:
        raise ConfigError("the device has no room for all of the model's weights")
    rows, kind = open_held_out(data), kind_of(model)
    room, gpu = room_of(model, exported.tokenizer, TOKENS), model.device.type != "cpu"
    texts, tokens = affordable(kind, job.shape.parameters, min(most, len(rows)), room, gpu=gpu)
    if not texts:
        raise ConfigError(
            "the model is so large that nodes would wait long for it", "use `llmtrain attribute`"
        )
    task = task_of(job.spec, job.shape)
    encodes = encoder(job.spec, job.shape, marker.special)
    return [of_row(task, encodes, rows, at * len(rows) // texts, tokens) for at in range(texts)]


def _compared(job: JobFile, exported: Opened, marker: Marker) -> Compared:
    """Documents that were trained on, or why none are looked at."""
    asked, gpu = job.spec.evaluation.explain, exported.model.device.type != "cpu"
    if asked is None or not asked.documents:
        return Compared(without="evaluation.explain.documents is 0")
    cost = 2.0 * max(1, job.shape.parameters) * OF_DOCUMENT
    most = min(asked.documents, int(budget(gpu=gpu) / cost))
    if most < FEWEST_DOCUMENTS and most < asked.documents:
        return Compared(without="the model is so large that nodes would wait long for it")
    try:
        drawn = draw(trained_on(job), most)
    except Exception as error:  # data that training no longer needs may be gone
        why = error.message if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        log.get().warning("training documents are not compared", error=why)
        return Compared(without=why)
    return Compared(drawn, marker.report.get("documents", {}).get("train"))


def _until(seconds: float) -> Callable[[], bool]:
    limit = time.monotonic() + seconds
    return lambda: time.monotonic() < limit


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.get().warning("half an explanation is left", error=error.strerror)
