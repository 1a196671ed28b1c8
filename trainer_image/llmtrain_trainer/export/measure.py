"""A model that nothing is trained of, measured as it is on all of a job's data: ``evaluation.only``."""

from __future__ import annotations

from typing import Any

import transformers

from llmtrain_api import JobFile, Results, SourceResult, changed, task_of
from llmtrain_api.messages import figure

from .. import log
from ..batch import BatchPlan
from ..data.loader import held_out_passes, open_held_out
from ..data.rows import Ids
from ..data.store import TOKENIZER, Marker, read_marker
from ..errors import ConfigError
from ..evaluate.heldout import ALONE, loss_sum
from ..evaluate.placement import device_of, put_on
from ..files import write_json
from ..floats import finite, perplexity
from ..models.build import DTYPES, load
from ..models.location import folder_of, named
from ..models.start import start_weights
from ..records import EvaluationRecord
from ..storage.start_marker import Start
from ..tasks import encoder
from .datasets import datasets_of, write_curves
from .opened import Opened
from .results import results_of


def measure(job: JobFile, start: Start) -> Results:
    """Open the job's model, compute its loss, let it write, and publish ``results.json``.

    Raises:
        ConfigError: a model without weights for its task: it was never taught that.
    """
    data, folder = start.output.data, folder_of(job)
    marker, task = read_marker(data), task_of(job.spec, job.shape)
    if marker is None or folder is None:
        raise ConfigError("nothing to measure: no data were prepared, or there is no model", "run `launch`")
    if fresh := start_weights(folder, task, job.spec.training.seed, named(job)).fresh:
        raise ConfigError(
            f"{named(job)} has no {next(iter(fresh))}: it has no head for task {task}, so there is "
            "nothing to measure",
            "name a model that was trained for it, or remove evaluation.only to train one",
        )
    model = load(folder, task, DTYPES[job.spec.training.precision]).eval()
    resident = put_on(model, device_of())
    rows, sources = open_held_out(data), []
    first = 0
    for source, count in zip(job.spec.dataset.sources, marker.held_out_sources, strict=True):
        log.get().info("measuring", dataset=source.name, sequences=count)
        sources.append((source.name, *_loss_of(job, model, marker, rows[first : first + count])))
        first += count
    losses, labels = sum(one[1] for one in sources), sum(one[2] for one in sources)
    if not labels:
        raise ConfigError(
            f"nothing of {job.spec.dataset.source_names} asks the model for an answer: no token to measure",
            "raise evaluation.maxSequences, or name other data",
        )
    loss = finite(losses / labels)
    found = EvaluationRecord(
        step=0, loss=loss, tokens=labels, checked_sequences=len(rows), checked_loss=loss, train_loss=None
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(data / TOKENIZER, local_files_only=True)
    opened = Opened(model, tokenizer, resident, sane=loss is not None)
    results = changed(
        results_of(job, opened, data, marker, found),
        datasets=datasets_of(job, opened, data, marker),
        sources=[_result(*one) for one in sources] if len(sources) > 1 else [],
    )
    write_json(start.output.results, results.to_json())
    write_curves(job, start.output, results)
    return results


def _loss_of(job: JobFile, model: Any, marker: Marker, rows: Ids) -> tuple[float, int]:
    """The sum of the losses of some rows, and the labels that it is of."""
    if not len(rows):
        return 0.0, 0
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    encode = encoder(job.spec, job.shape, marker.special)
    return loss_sum(model, held_out_passes(rows, plan, ALONE, encode, device_of()), encode.objective)


def _result(name: str, losses: float, labels: int) -> SourceResult:
    loss = finite(losses / labels) if labels else None
    told = None if loss is None else figure(perplexity(loss))
    return SourceResult(name=name, tokens=labels, eval_loss=figure(loss), perplexity=told)
