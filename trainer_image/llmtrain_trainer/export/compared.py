"""What an exported model writes and says of held-out data, compared with what is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmtrain_api import AnswersResult, JobFile, ScoresResult, Task
from llmtrain_api.messages import figure

from .. import log
from ..batch import BatchPlan
from ..data.labelled.questions import FILE as QUESTIONS
from ..data.loader import each_held_out_pass, open_held_out
from ..data.rows import Ids
from ..data.store import Marker
from ..evaluate.answers import answered, prompts, questions, texts_to_write
from ..evaluate.heldout import ALONE
from ..evaluate.metrics import measured
from ..evaluate.placement import device_of, tokens_worth, weights_of
from ..evaluate.scores import of_classes, of_numbers, of_tags, said, tagged
from ..evaluate.spans import Logits, found_answers, of_answers, told
from ..evaluate.untrained import copied_and_lead
from ..tasks import encoder
from .opened import Opened


def answers_of(job: JobFile, opened: Opened, data: Path) -> AnswersResult | None:
    """What the exported model writes of what is held out, compared; None where nothing asks for an answer.

    Args:
        job: whose model it is.
        opened: the model.
        data: folder of what is held out.
    """
    evaluation, gpu = job.spec.evaluation, device_of().type != "cpu"
    find = questions if job.spec.task is Task.CHAT else texts_to_write
    asked = find(open_held_out(data), evaluation.max_answers)
    most = sum(len(one.answer) for one in asked) * 2
    worth = tokens_worth(weights_of(opened.model), most, resident=opened.resident, gpu=gpu)
    pairs = answered(opened.model, opened.tokenizer, asked, worth)
    if not pairs:
        log.get().warning("nothing that is held out asks for an answer, so none is compared")
        return None
    metrics = evaluation.answer_metrics or []
    scores, signatures = measured(pairs, metrics)
    if job.spec.task is Task.TEXT2TEXT:
        sources = prompts(opened.tokenizer, asked[: len(pairs)])
        scores |= copied_and_lead(sources, [right for _, right in pairs], metrics)
    log.get().info("answers compared", answers=len(pairs), of=len(asked), **scores)
    return AnswersResult.model_validate({"written": len(pairs), "signatures": signatures, **scores})


def scores_of(job: JobFile, model: Any, data: Path, marker: Marker, rows: Ids) -> ScoresResult | None:
    """What the exported model says of held-out samples.

    Args:
        job: whose model it is.
        model: of the export.
        data: folder of the samples.
        marker: of the data that were trained on.
        rows: the samples.
    """
    plan = BatchPlan(len(rows), job.spec.training.micro_batch_size, 1)
    task = encoder(job.spec, job.shape, marker.special)
    passes = each_held_out_pass(rows, plan, ALONE, task, device_of())
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
