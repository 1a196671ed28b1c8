"""The trained model as one Hugging Face folder, compared with what was trained before the job may succeed.

Its weights are the files that the ranks wrote and read back bit for bit (`checkpoint.full_weights`). What is
left to show is that whoever opens the folder computes what the trained engine computed: some held-out
sequences once more, by plain transformers, on the device that is there.
"""

from __future__ import annotations

import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import transformers

from llmtrain_api import (
    AdapterSpec,
    JobFile,
    Origin,
    Precision,
    Results,
    Task,
    TasksResult,
    changed,
    task_of,
)

from .. import log
from ..batch import BatchPlan
from ..checkpoint.ownership import uri_of
from ..data.loader import held_out_passes, open_held_out, open_rows
from ..data.reference import FILE as REFERENCE
from ..data.reference import joined, read_reference
from ..data.rows import Ids
from ..data.store import INITIAL, TOKENIZER, read_marker
from ..errors import ConfigError, ExportMismatch
from ..evaluate.generate import open_folder
from ..evaluate.heldout import ALONE, evaluated, loss_sum
from ..evaluate.placement import device_of, put_on
from ..files import discard, sync_tree, write_json
from ..floats import finite
from ..models.build import DTYPES, load
from ..models.head import head_of
from ..models.location import start_of
from ..output import Output
from ..records import EvaluationRecord, TasksRecord, read_record, record_or_none
from ..storage.start_marker import Start
from ..tasks import Tokens, encoder
from ..tasks.chat import ChatLM
from ..tasks.kto import settled
from ..tasks.preference import has_reference
from . import folder as full
from .adapter import FOLDER, open_adapter, told_of, write_adapter, write_merged
from .card import write_card
from .datasets import datasets_of, write_curves
from .explained import write_explanation
from .opened import Opened
from .results import results_of

TOLERANCE = {Precision.FP32: 1e-4, Precision.BF16: 1e-2, Precision.FP16: 1e-2}
"""Largest relative difference of the perplexity between the trained engine and the exported folder."""
SANE_LOSS = 20.0
"""Nat a token that no model exceeds unless it has diverged: above, a difference is relative to the loss."""
NAME = "export"


def export(job: JobFile, start: Start) -> Results:
    """Write, open again, compare, generate, then publish the folder and ``results.json``."""
    output = start.output
    marker, trained = read_marker(output.data), read_record(output.evaluation, EvaluationRecord)
    there = output.committed()
    if marker is None or trained is None or trained.exports not in there or there[0] > trained.step:
        raise ConfigError("nothing to export: training has not finished in this output folder")
    folder = start.fence.folder / NAME
    discard(folder)
    task = task_of(job.spec, job.shape)
    if job.spec.model.adapter:
        model, tokenizer = _write_adapted(job, job.spec.model.adapter, output, trained.exports, folder)
    else:
        head = head_of(task, marker.labels, marker.special.pad)
        full.write_model(job, output.step(trained.exports), output.data, folder, head)
        model, tokenizer = open_folder(folder, task, DTYPES[job.spec.training.precision])
    resident = put_on(model, device_of())
    _compare(job, model, output, marker.special, trained)
    opened = Opened(model, tokenizer, resident, sane=trained.loss is not None)
    results = changed(
        results_of(job, opened, output.data, marker, trained),
        export_uri=f"{uri_of(job, output.root)}/{NAME}",
        adapter=told_of(folder, marker) if job.spec.model.adapter else None,
        origin=record_or_none(output.origin, Origin),
        datasets=datasets_of(job, opened, output.data, marker),
        tasks=_known_tasks(job, output),
        explained=write_explanation(job, opened, output.data, marker, folder),
    )
    write_card(job, start, marker, results, folder)
    sync_tree(folder)
    if output.export.exists():
        output.export.rename(start.fence.folder / f"old-{NAME}")
    start.fence.commit(NAME, output.export)
    write_json(output.results, results.to_json())
    write_curves(job, output, results)
    return results


def _known_tasks(job: JobFile, output: Output) -> TasksResult | None:
    """What an attempt before this one has measured of the same model, which nobody computes again."""
    record = record_or_none(output.tasks, TasksRecord)
    return record.tasks if record and record.is_done(job.job.uid) else None


def _write_adapted(
    job: JobFile, adapter: AdapterSpec, output: Output, step: int, folder: Path
) -> tuple[Any, Any]:
    """The adapter, and unless that is unwanted the merged model; what is there now, opened again."""
    trained, task = full.weights_of(output.step(step)), task_of(job.spec, job.shape)
    initial, dtype = output.data / INITIAL, DTYPES[job.spec.training.precision]
    base, name = start_of(job, initial), job.spec.model.name
    if base == initial:
        name = f"{uri_of(job, output.root)}/{output.data.name}/{INITIAL}"
    shutil.copytree(output.data / TOKENIZER, folder)
    write_adapter(job, adapter, trained, name, folder / FOLDER)
    if job.spec.output.merged:
        write_merged(job, adapter, trained, base, folder)
        return open_folder(folder, task, dtype)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return open_adapter(load(base, task, dtype), folder), tokenizer


def _compare(job: JobFile, model: Any, output: Output, tokens: Tokens, trained: EvaluationRecord) -> None:
    """Compute the first held-out sequences again from what is exported.

    Raises:
        ExportMismatch: their loss is another one.
    """
    rows = _held_out_rows(job, output)[: trained.checked_sequences]
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    # answers that are written are dialogues like any other
    rewarded = job.spec.task is Task.REINFORCEMENT
    task = ChatLM() if rewarded else encoder(job.spec, job.shape, tokens, output.data)
    passes = held_out_passes(rows, plan, ALONE, task, device_of())
    passes = settled(task, passes, partial(evaluated, model), lambda *sums: sums)
    losses, labels = loss_sum(model, passes, task.objective)
    again = finite(losses / labels)
    difference = _difference(again, trained.checked_loss)
    log.get().info(
        "export compared",
        sequences=len(rows),
        trained_loss=trained.checked_loss,
        exported_loss=again,
        relative_difference=difference,
    )
    if difference > TOLERANCE[job.spec.training.precision]:
        raise ExportMismatch(
            f"the exported folder's held-out loss {again} is not the trained engine's {trained.checked_loss}"
        )


def _held_out_rows(job: JobFile, output: Output) -> Ids:
    """The held-out rows; of pairs with what the reference says of them, where that is compared with; of
    prompts the answers that the engine wrote."""
    data = output.data
    if job.spec.task is Task.REINFORCEMENT:
        return open_rows(output.answers)
    rows, marker = open_held_out(data), read_marker(data)
    if job.spec.task is not Task.PREFERENCE or not has_reference(job.spec):
        return rows
    sequences = marker.sequences if marker else 0
    found = read_reference(data, sequences + len(rows))
    if found is None:
        raise ConfigError(f"{data} has no whole {REFERENCE}, which training wrote", "resume the job")
    return joined(rows, found[sequences:])


def _difference(again: float | None, trained: float | None) -> float:
    """Relative difference of two perplexities, also of losses at which a perplexity overflows."""
    if again is None or trained is None:
        return 0.0 if again is trained else math.inf
    return abs(math.expm1(min(again - trained, 700.0))) / max(1.0, abs(trained) / SANE_LOSS)
