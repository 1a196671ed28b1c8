"""What a model that opens in plain transformers comes to: what it writes, and how that compares."""

from __future__ import annotations

from pathlib import Path

from llmtrain_api import (
    JobFile,
    KtoResult,
    PreferenceResult,
    ReinforcementResult,
    Results,
    RewardFigure,
    Task,
    changed,
    task_of,
)
from llmtrain_api.messages import figure
from llmtrain_api.schema.source import PYTHON_STDLIB

from ..data.judged.writing import LABELS
from ..data.loader import open_held_out
from ..data.rows import Ids
from ..data.store import Marker
from ..evaluate.generate import NEW_TOKENS, generate
from ..evaluate.placement import device_of, tokens_worth, weights_of
from ..evaluate.scores import of_lengths, of_majority
from ..floats import perplexity
from ..records import EvaluationRecord
from ..telemetry.figures import RULE
from .compared import answers_of, scores_of
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
    scored, found = task.headed and not task.on_pairs, trained.loss is not None
    checked = open_held_out(data)[: trained.checked_sequences]
    return changed(
        _trained(job, marker, trained, open_held_out(data)),
        answers=answers_of(job, opened, data) if asked and opened.sane else None,
        scores=scores_of(job, opened.model, data, marker, checked) if scored and found else None,
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
