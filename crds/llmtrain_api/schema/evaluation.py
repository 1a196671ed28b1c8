"""``spec.evaluation``: when and by what a model is measured on held-out data."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .evaluation_set import MOST_SETS, EvaluationSet
from .evaluation_tasks import EvaluationTasks
from .fairness import FairnessSpec


class AnswerMetric(StrEnum):
    """How written answers are compared to the ones that are known."""

    BLEU = "bleu"
    CHRF = "chrf"
    ROUGE = "rouge"
    EXACT_MATCH = "exactMatch"
    F1 = "f1"


class ExplainSpec(ApiModel):
    """Held-out texts that the exported model is explained by."""

    texts: int = Field(
        default=4,
        ge=1,
        le=32,
        description="Held-out sequences that are explained at most, spread over all. A large model without a "
        "GPU has fewer and shorter ones, or none, so that nobody waits long.",
    )
    documents: int = Field(
        default=256,
        ge=0,
        le=4096,
        description="Training documents among which the nearest of each text are looked for; 0 for none.",
    )


def _distinct(evaluation: EvaluationSpec) -> str | None:
    names = [one.name for one in evaluation.datasets]
    twice = next((at for at, name in enumerate(names) if name in names[:at]), None)
    if twice is None:
        return None
    first = names.index(names[twice])
    return f"[{first}] and [{twice}] are both named {names[twice]}; give each a name of its own"


class EvaluationSpec(RuledModel):
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
        description="Largest number of held-out sequences per evaluation; they are the same each time. With "
        "task reinforcement answers, of which each held-out prompt gets a group.",
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
    datasets: list[EvaluationSet] = Field(
        default_factory=list,
        max_length=MOST_SETS,
        description="Data that the model is measured on at the end, each set apart: status.results.datasets. "
        "Nothing is learnt from them; dataset.cleaning does not touch them, and maxSequences counts for "
        "each. Not with tasks preference, reward, reinforcement and imageChat.",
    )
    tasks: EvaluationTasks | None = Field(
        default=None,
        description="At the end the exported model is measured on tasks of the lm-evaluation-harness, in a "
        "process of its own: status.results.tasks. No job fails for it. Needs an image with lm_eval; with "
        "tasks causal, chat, preference and reinforcement.",
    )
    explain: ExplainSpec | None = Field(
        default=None,
        description="At the end the export gets explanation.html and explanation.json: of held-out texts the "
        "loss of each token, gradient x input, attention rollout, and the nearest training documents. No job "
        "fails for it; the log says what was left out.",
    )
    fairness: FairnessSpec | None = Field(
        default=None,
        description="At the end the exported model compares pairs of sentences; status.results.fairness and "
        "the model card tell by category which it finds likelier. With tasks that learn the likelihood of "
        "text: causal, chat, preference and masked.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.datasets) || self.datasets.all(a, self.datasets.exists_one(b, a.name == b.name))",
            ".datasets",
            "two sets have the same name; give each a name of its own",
            _distinct,
        ),
    )
