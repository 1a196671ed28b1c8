"""The block of metadata at the head of a card, as the hub reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from llmtrain_api import DatasetResult, Results, Task
from llmtrain_api.schema.model import HUB as MODEL
from llmtrain_api.schema.source import HUB as DATASET

from ..markdown import location
from .facts import Facts

PIPELINES: Mapping[Task, str | None] = {
    Task.CAUSAL: "text-generation",
    Task.CHAT: "text-generation",
    Task.IMAGE_CHAT: "image-text-to-text",
    Task.PREFERENCE: "text-generation",
    Task.REINFORCEMENT: "text-generation",
    Task.REWARD: "text-classification",
    Task.TEXT2TEXT: "text-generation",
    Task.MASKED: "fill-mask",
    Task.SEQ2SEQ: None,  # it fills hidden spans, and the hub has no such task
    Task.CLASSIFICATION: "text-classification",
    Task.REGRESSION: "text-classification",
    Task.TOKENS: "token-classification",
    Task.QUESTIONS: "question-answering",
}
"""The hub's word for what a model does, by the task that it learnt."""
HELD_OUT = "held-out"
METRICS: tuple[tuple[str, str, str, str], ...] = (
    ("", "eval_loss", "loss", "Held-out loss"),
    ("", "perplexity", "perplexity", "Held-out perplexity"),
    ("scores", "accuracy", "accuracy", "Accuracy"),
    ("scores", "macro_f1", "f1", "F1, mean over classes"),
    ("scores", "entity_f1", "seqeval", "F1 of entities"),
    ("scores", "exact_match", "exact_match", "Exact match"),
    ("scores", "f1", "f1", "F1 of words"),
    ("scores", "mse", "mse", "Mean squared error"),
    ("scores", "pearson", "pearsonr", "Correlation"),
    ("preference", "reward_accuracy", "accuracy", "Reward accuracy"),
    ("preference", "reward_margin", "reward_margin", "Reward margin"),
    ("kto", "accuracy", "accuracy", "Accuracy of desirable and other answers"),
    ("kto", "desirable_reward", "reward", "Reward of desirable answers"),
    ("kto", "undesirable_reward", "reward", "Reward of other answers"),
    ("kto", "divergence", "kl", "Divergence from the start model, nat"),
    ("reinforcement", "reward", "reward", "Reward of an answer"),
    ("reinforcement", "without_signal", "share", "Share of prompts whose answers all get the same"),
    ("reinforcement", "answer_tokens", "length", "Tokens of an answer"),
    ("reinforcement", "kl", "kl", "Divergence from the start model, nat a token"),
    ("answers", "exact_match", "exact_match", "Exact match of answers"),
    ("answers", "f1", "f1", "F1 of words of answers"),
    ("answers", "bleu", "bleu", "BLEU of answers"),
    ("answers", "chrf", "chrf", "chrF of answers"),
    ("answers", "rouge1", "rouge", "ROUGE-1 of answers"),
    ("answers", "rouge2", "rouge", "ROUGE-2 of answers"),
    ("answers", "rouge_l", "rouge", "ROUGE-L of answers"),
)
"""Part of the results, its field, the hub's name of the metric, and ours."""


def measured(results: Results | DatasetResult) -> Iterator[tuple[str, str, float]]:
    """What is known of the model: the hub's name of each metric, ours, and its value."""
    for part, field, kind, name in METRICS:
        place = getattr(results, part, None) if part else results
        value = getattr(place, field, None)
        if value is not None:
            yield kind, name, float(value)


def card_data(facts: Facts) -> ModelCardData:
    """The metadata of a card. What nobody said, such as the language, is left out and not guessed."""
    spec, results = facts.job.spec, list(evaluated(facts))
    adapter = spec.model.adapter is not None
    base = spec.model.name if re.fullmatch(MODEL, spec.model.name) and spec.model.pretrained else None
    relation: dict[str, Any] = {}
    if base:
        relation["base_model_relation"] = "adapter" if facts.adapter_alone else "finetune"
    return ModelCardData(
        model_name=facts.job.job.name,
        base_model=base,
        **relation,
        datasets=hub_datasets(facts) or None,
        library_name="peft" if facts.adapter_alone else "transformers",
        pipeline_tag=PIPELINES.get(facts.task),
        tags=["llmtrain", str(facts.task), *(["lora"] if adapter else [])],
        metrics=sorted({one.metric_type for one in results}) or None,
        eval_results=results or None,
    )


def hub_datasets(facts: Facts) -> list[str]:
    """The datasets of the hub that were trained on, each once."""
    names = (source.name for source in facts.job.spec.dataset.sources)
    return list(dict.fromkeys("/".join(n.split("/")[:2]) for n in names if re.fullmatch(DATASET, n)))


def evaluated(facts: Facts) -> Iterator[EvalResult]:
    """The metrics as the hub lists them."""
    hub = hub_datasets(facts)
    names = ", ".join(location(source.name) for source in facts.job.spec.dataset.sources)
    for kind, name, value in measured(facts.results):
        yield EvalResult(
            task_type=PIPELINES.get(facts.task) or "text-generation",
            dataset_type=hub[0] if len(hub) == 1 else HELD_OUT,
            dataset_name=f"held-out share of {names}"[:512],
            metric_type=kind,
            metric_name=name,
            metric_value=value,
        )
