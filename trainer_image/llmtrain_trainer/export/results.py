"""What a model that opens in plain transformers comes to: what it writes, and how that compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmtrain_api import (
    AnswersResult,
    JobFile,
    KtoResult,
    PreferenceResult,
    ReinforcementResult,
    Results,
    RewardFigure,
    ScoresResult,
    Task,
    changed,
    task_of,
)
from llmtrain_api.messages import figure
from llmtrain_api.schema.source import PYTHON_STDLIB

from .. import log
from ..batch import BatchPlan
from ..data.judged.writing import LABELS
from ..data.labelled.questions import FILE as QUESTIONS
from ..data.loader import held_out_passes, open_held_out
from ..data.rows import Ids
from ..data.store import Marker
from ..evaluate.answers import answered, prompts, questions, texts_to_write
from ..evaluate.generate import NEW_TOKENS, generate
from ..evaluate.heldout import ALONE
from ..evaluate.metrics import measured
from ..evaluate.placement import device_of, tokens_worth, weights_of
from ..evaluate.scores import of_classes, of_lengths, of_majority, of_numbers, of_tags, said, tagged
from ..evaluate.spans import Logits, found_answers, of_answers, told
from ..evaluate.untrained import copied_and_lead
from ..floats import perplexity
from ..records import EvaluationRecord
from ..tasks import encoder
from ..telemetry.figures import RULE
from .fairness import compared_pairs
from .opened import Opened


def results_of(
    job: JobFile, opened: Opened, data: Path, marker: Marker, trained: EvaluationRecord
) -> Results:
    """All that is known of a model, and what it says of held-out data.

    Args:
        job: whose model it is.
        opened: the model.
        data: the prepared data.
        marker: of them.
        trained: what was found of its loss.
    """
    task, asked = task_of(job.spec, job.shape), job.spec.evaluation.answer_metrics
    scored = task.headed and not task.on_pairs
    return changed(
        _trained(job, marker, trained, open_held_out(data)),
        answers=_answers(job, opened, data) if asked and opened.sane else None,
        scores=_scores(job, opened.model, data, marker, trained) if scored else None,
        sample=_sample(job, opened) if task is Task.CAUSAL and opened.sane else None,
        fairness=compared_pairs(job, opened, marker),
    )


def _sample(job: JobFile, opened: Opened) -> str:
    code = PYTHON_STDLIB in (source.name for source in job.spec.dataset.sources)
    gpu = device_of().type != "cpu"
    tokens = tokens_worth(weights_of(opened.model), NEW_TOKENS, resident=opened.resident, gpu=gpu)
    return generate(opened.model, opened.tokenizer, "def " if code else "", new_tokens=tokens)[:4096]


def _trained(job: JobFile, marker: Marker, trained: EvaluationRecord, held_out: Ids) -> Results:
    """What is known of a model before anything is asked of its export."""
    task, judged = task_of(job.spec, job.shape), job.spec.judges_answers
    pairs, answers = task.on_pairs, task is Task.REINFORCEMENT
    told = None if trained.loss is None or task.headed or pairs or answers else perplexity(trained.loss)
    return Results(
        steps=trained.step,
        exported_step=trained.exports,
        train_loss=figure(trained.train_loss),
        fairness_penalty=figure(trained.fairness_penalty),
        eval_loss=figure(trained.loss),
        perplexity=figure(told),
        data=marker.summary,
        unigram_entropy=None if pairs or answers else marker.unigram_entropy,
        preference=_preference(trained, held_out) if pairs and not judged else None,
        kto=_kto(trained, marker, held_out) if judged else None,
        reinforcement=_reinforcement(job, trained) if answers else None,
        **trained.run_state,
    )


def _answers(job: JobFile, opened: Opened, data: Path) -> AnswersResult | None:
    """What the exported model writes of what is held out, compared; None where nothing asks for an answer."""
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


def _preference(trained: EvaluationRecord, held_out: Ids) -> PreferenceResult:
    found = {name: figure(value) for name, value in trained.measures.items()}
    return PreferenceResult.model_validate(
        found | {"pairs": trained.tokens, "longer_accuracy": of_lengths(held_out)}
    )


def _reinforcement(job: JobFile, trained: EvaluationRecord) -> ReinforcementResult | None:
    """What answers to held-out prompts got; None where that is no number."""
    how, found = job.spec.training.reinforcement, trained.measures
    if how is None or trained.loss is None:
        return None
    rules = [
        RewardFigure(name=rule.called, mean=found[f"{RULE}{rule.called}"] or 0.0) for rule in how.rewards
    ]
    told = {name: figure(value) for name, value in found.items() if not name.startswith(RULE)}
    return ReinforcementResult.model_validate(told | {"prompts": trained.tokens, "rewards": rules})


def _kto(trained: EvaluationRecord, marker: Marker, held_out: Ids) -> KtoResult:
    found = {name: figure(value) for name, value in trained.measures.items()}
    majority = of_majority(held_out, marker.report[LABELS])
    return KtoResult.model_validate(
        found | {"samples": trained.tokens, "majority_accuracy": figure(majority)}
    )
