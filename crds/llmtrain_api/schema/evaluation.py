"""``spec.evaluation``: when and by what a model is measured on held-out data."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .base import ApiModel


class AnswerMetric(StrEnum):
    """How written answers are compared to the ones that are known."""

    BLEU = "bleu"
    CHRF = "chrf"
    ROUGE = "rouge"
    EXACT_MATCH = "exactMatch"
    F1 = "f1"


class EvaluationSpec(ApiModel):
    """When the held-out loss is measured: always at the end, or nothing but that."""

    only: bool = Field(
        default=False,
        description="Measure the model as it is, on all of the dataset, and train nothing: results, and no "
        "checkpoint and no export. For models that have weights and tasks causal, chat, masked, "
        "seq2seq and text2text; one process computes.",
    )
    every_steps: int = Field(
        default=100,
        ge=0,
        le=10_000_000,
        description="Number of optimizer steps between evaluations; 0 evaluates only at the end.",
    )
    max_sequences: int = Field(
        default=512,
        ge=1,
        le=10_000_000,
        description="Largest number of held-out sequences per evaluation; they are the same each time.",
    )
    answer_metrics: list[AnswerMetric] | None = Field(
        default=None,
        min_length=1,
        max_length=5,
        description="With task chat and text2text: at the end the exported model answers held-out dialogues, "
        "or writes of held-out texts, itself, and status.results.answers tells how this compares to theirs: "
        "bleu and chrf (sacrebleu), rouge "
        "(1, 2 and L), exactMatch and f1 (as SQuAD has them).",
    )
    max_answers: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="With answerMetrics: answers that are written at most. A large model without a GPU "
        "writes fewer, so that nobody waits long.",
    )
