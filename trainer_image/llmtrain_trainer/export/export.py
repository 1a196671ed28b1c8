"""The trained model as one Hugging Face folder, compared with what was trained before the job may succeed.

Its weights are the files that the ranks wrote and read back bit for bit (`checkpoint.full_weights`). What is
left to show is that whoever opens the folder computes what the trained engine computed: some held-out
sequences once more, by plain transformers, on the device that is there.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import transformers

from llmtrain_api import (
    AdapterSpec,
    AnswersResult,
    JobFile,
    Origin,
    Place,
    Precision,
    PreferenceResult,
    Results,
    ScoresResult,
    Task,
    changed,
    task_of,
)
from llmtrain_api.messages import figure
from llmtrain_api.schema.dataset import PYTHON_STDLIB

from .. import log
from ..batch import BatchPlan
from ..checkpoint.ownership import uri_of
from ..data.labelled.questions import FILE as QUESTIONS
from ..data.loader import held_out_passes, open_held_out
from ..data.reference import FILE as REFERENCE
from ..data.reference import joined, read_reference
from ..data.rows import Ids
from ..data.store import INITIAL, TOKENIZER, Marker, read_marker
from ..errors import ConfigError, ExportMismatch
from ..evaluate.answers import answered, questions, texts_to_write
from ..evaluate.generate import NEW_TOKENS, generate, open_folder
from ..evaluate.heldout import loss_sum
from ..evaluate.metrics import measured
from ..evaluate.placement import device_of, put_on, tokens_worth, weights_of
from ..evaluate.scores import of_classes, of_lengths, of_numbers, of_tags, said, tagged
from ..evaluate.spans import Logits, found_answers, of_answers, told
from ..files import discard, sync_tree, write_json
from ..floats import finite, perplexity
from ..models.build import DTYPES, load
from ..models.head import head_of
from ..models.location import start_of
from ..output import Output
from ..records import EvaluationRecord, read_record, record_or_none
from ..storage.start_marker import Start
from ..tasks import Tokens, encoder
from ..tasks.preference import has_reference
from . import folder as full
from .adapter import FOLDER, open_adapter, write_adapter, write_merged
from .card import write_card
from .explained import Exported, write_explanation
from .fairness import compared_pairs

TOLERANCE = {Precision.FP32: 1e-4, Precision.BF16: 1e-2, Precision.FP16: 1e-2}
"""Largest relative difference of the perplexity between the trained engine and the exported folder."""
SANE_LOSS = 20.0
"""Nat a token that no model exceeds unless it has diverged: above, a difference is relative to the loss."""
NAME = "export"
ALONE = Place(0, 0, 0, 0)


def export(job: JobFile, start: Start) -> Results:
    """Write, open again, compare, generate, then publish the folder and ``results.json``."""
    output = start.output
    marker, trained = read_marker(output.data), read_record(output.evaluation, EvaluationRecord)
    newest = output.committed()
    if marker is None or trained is None or not newest or newest[0] != trained.step:
        raise ConfigError("nothing to export: training has not finished in this output folder")
    folder = start.fence.folder / NAME
    discard(folder)
    task = task_of(job.spec, job.shape)
    if job.spec.model.adapter:
        model, tokenizer = _write_adapted(job, job.spec.model.adapter, output, newest[0], folder)
    else:
        head = head_of(task, marker.labels, marker.special.pad)
        full.write_model(job, output.step(newest[0]), output.data, folder, head)
        model, tokenizer = open_folder(folder, task, DTYPES[job.spec.training.precision])
    device, weights = device_of(), weights_of(model)
    resident = put_on(model, device)
    _compare(job, model, output.data, marker.special, trained)
    sample = None
    if task is Task.CAUSAL and trained.loss is not None:  # nothing can be drawn from what is not finite
        code = PYTHON_STDLIB in (source.name for source in job.spec.dataset.sources)
        tokens = tokens_worth(weights, NEW_TOKENS, resident=resident, gpu=device.type != "cpu")
        sample = generate(model, tokenizer, "def " if code else "", new_tokens=tokens)[:4096]
    answers = None
    if job.spec.evaluation.answer_metrics and trained.loss is not None:
        answers = _answers(job, model, tokenizer, output.data, resident=resident)
    scored = task.headed and not task.on_pairs
    scores = _scores(job, model, output.data, marker, trained) if scored else None
    exported = Exported(model, tokenizer, resident, sane=trained.loss is not None)
    uri = f"{uri_of(job, output.root)}/{NAME}"
    results = changed(
        _trained(task, marker, trained, open_held_out(output.data)),
        export_uri=uri,
        origin=record_or_none(output.origin, Origin),
        answers=answers,
        scores=scores,
        sample=sample,
        fairness=compared_pairs(job, exported, marker),
        explained=write_explanation(job, exported, output.data, marker, folder),
    )
    write_card(job, start, marker, results, folder)
    sync_tree(folder)
    if output.export.exists():
        output.export.rename(start.fence.folder / f"old-{NAME}")
    start.fence.commit(NAME, output.export)
    write_json(output.results, results.to_json())
    return results


def _trained(task: Task, marker: Marker, trained: EvaluationRecord, held_out: Ids) -> Results:
    """What is known of a model before anything is asked of its export."""
    pairs = task.on_pairs
    return Results(
        steps=trained.step,
        train_loss=figure(trained.train_loss),
        eval_loss=figure(trained.loss),
        perplexity=None if trained.loss is None or task.headed or pairs else figure(perplexity(trained.loss)),
        data=marker.summary,
        unigram_entropy=None if pairs else marker.unigram_entropy,
        preference=_preference(trained, held_out) if pairs else None,
        **trained.run_state,
    )


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


def _answers(job: JobFile, model: Any, tokenizer: Any, data: Path, *, resident: bool) -> AnswersResult | None:
    """What the exported model writes of what is held out, compared; None where nothing asks for an answer."""
    evaluation, gpu = job.spec.evaluation, device_of().type != "cpu"
    find = questions if job.spec.task is Task.CHAT else texts_to_write
    asked = find(open_held_out(data), evaluation.max_answers)
    most = sum(len(one.answer) for one in asked) * 2
    pairs = answered(
        model, tokenizer, asked, tokens_worth(weights_of(model), most, resident=resident, gpu=gpu)
    )
    if not pairs:
        log.get().warning("nothing that is held out asks for an answer, so none is compared")
        return None
    scores, signatures = measured(pairs, evaluation.answer_metrics or [])
    log.get().info("answers compared", answers=len(pairs), of=len(asked), **scores)
    return AnswersResult.model_validate({"written": len(pairs), "signatures": signatures, **scores})


def _scores(
    job: JobFile, model: Any, data: Path, marker: Marker, trained: EvaluationRecord
) -> ScoresResult | None:
    """What the exported model says of the held-out samples that were computed again."""
    if trained.loss is None:
        return None
    rows = open_held_out(data)[: trained.checked_sequences]
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    task = encoder(job.spec, job.shape, marker.special)
    passes = held_out_passes(rows, plan, ALONE, task, device_of())
    if "classes" in marker.report:
        train = [counts["train"] for counts in marker.report["classes"].values()]
        if job.spec.task is Task.TOKENS:
            scores = of_tags(tagged(model, passes), marker.labels, train)
        else:
            scores = of_classes(*said(model, passes), train)
        log.get().info("classes compared", samples=len(rows), **scores)
        return ScoresResult.model_validate({"samples": len(rows), "classes": len(train), **scores})
    if job.spec.task is Task.QUESTIONS:
        return _answered(data, marker, told(model, passes))
    scores = of_numbers(*said(model, passes), marker.report["numbers"]["mean"])
    log.get().info("numbers compared", samples=len(rows), **scores)
    return ScoresResult.model_validate({"samples": len(rows), **{k: figure(v) for k, v in scores.items()}})


def _answered(data: Path, marker: Marker, windows: list[Logits]) -> ScoresResult | None:
    """How the answers to held-out questions compare; None where none has all of its windows there."""
    maybe_none = marker.report["questions"]["train"]["withoutAnswer"] > 0
    asked = json.loads((data / QUESTIONS).read_text(encoding="utf-8"))
    pairs = found_answers(asked, windows, maybe_none=maybe_none)
    if not pairs:
        return None
    scores = of_answers(pairs)
    log.get().info("answers compared", questions=len(pairs), **scores)
    return ScoresResult.model_validate({"samples": len(pairs), **scores})


def _compare(job: JobFile, model: Any, data: Path, tokens: Tokens, trained: EvaluationRecord) -> None:
    """Compute the first held-out sequences again from what is exported.

    Raises:
        ExportMismatch: their loss is another one.
    """
    rows = _held_out_rows(job, data)[: trained.checked_sequences]
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    task = encoder(job.spec, job.shape, tokens)
    passes = held_out_passes(rows, plan, ALONE, task, device_of())
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


def _preference(trained: EvaluationRecord, held_out: Ids) -> PreferenceResult:
    found = {name: figure(value) for name, value in trained.measures.items()}
    return PreferenceResult.model_validate(
        found | {"pairs": trained.tokens, "longer_accuracy": of_lengths(held_out)}
    )


def _held_out_rows(job: JobFile, data: Path) -> Ids:
    """The held-out rows; of pairs with what the reference says of them, where that is compared with."""
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
