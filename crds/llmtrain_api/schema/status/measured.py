"""What a model comes to on data by themselves: a source of a mixture, samples, a set of one's own."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiModel
from .answers import AnswersResult
from .values import Count, Figure, Text


class SourceResult(ApiModel):
    """What a model that is measured comes to on one source of a mixture."""

    name: Annotated[str, Field(max_length=512)] = Field(description="As dataset.mixture names it.")
    tokens: Count = Field(description="Tokens whose loss was computed.")
    eval_loss: Figure | None = Field(
        default=None, description="Loss in nats per token; empty where nothing is asked, or it is infinite."
    )
    perplexity: Figure | None = Field(default=None, description="Its exponential.")


class ScoresResult(ApiModel):
    """What the exported model says of held-out samples, beside what one would say without a model."""

    samples: Count = Field(description="Held-out samples that were compared.")
    classes: Count | None = Field(
        default=None, description="How many classes there are; config.json of the export names them."
    )
    accuracy: Figure | None = Field(default=None, description="Share of right classes, or tags.")
    majority_accuracy: Figure | None = Field(
        default=None,
        description="The same of whoever always says the most frequent class of the training data.",
    )
    macro_f1: Figure | None = Field(
        default=None, description="F1 of each class that occurs or is said, mean over these classes."
    )
    entity_f1: Figure | None = Field(
        default=None,
        description="F1 of entities, which tags of the form B-KIND and I-KIND mark, by kind and place.",
    )
    exact_match: Figure | None = Field(
        default=None,
        description="With task questionAnswering: share of answers that are right as a whole, from 0 to 100, "
        "as SQuAD has it.",
    )
    f1: Figure | None = Field(
        default=None, description="The same by common words: F1, mean over the questions, from 0 to 100."
    )
    no_answer_exact_match: Figure | None = Field(
        default=None, description="Exact match of whoever always says that there is no answer."
    )
    mse: Figure | None = Field(default=None, description="Mean of the squared errors.")
    mean_mse: Figure | None = Field(
        default=None, description="The same of whoever always says the mean of the training data."
    )
    pearson: Figure | None = Field(
        default=None, description="Correlation with the right numbers; empty where either does not vary."
    )


class DatasetResult(ApiModel):
    """What a model comes to on one set of evaluation.datasets."""

    name: Annotated[str, Field(max_length=63)] = Field(description="As evaluation.datasets names it.")
    documents: Count = Field(description="Documents, dialogues or samples of the set that were read.")
    sequences: Count = Field(description="Sequences that were measured.")
    of: Count = Field(
        description="Sequences that the set has; where they are more, evaluation.maxSequences bounds them."
    )
    tokens: Count = Field(description="Tokens, or samples, whose loss was computed.")
    eval_loss: Figure | None = Field(
        default=None,
        description="Loss in nats per token, or per sample; empty where nothing is asked, or it is infinite.",
    )
    perplexity: Figure | None = Field(default=None, description="Its exponential, of a loss of tokens.")
    answers: AnswersResult | None = Field(
        default=None, description="How its answers compare, with evaluation.answerMetrics."
    )
    scores: ScoresResult | None = Field(
        default=None, description="What it says of the samples, with a task that has a head of its own."
    )


class TaskFigure(ApiModel):
    """One metric of one task of the lm-evaluation-harness."""

    task: Text = Field(description="As its YAML file names it.")
    metric: Text = Field(description="With its filter after a comma, where that is not none.")
    value: Figure = Field(description="Mean over the rows.")
    stderr: Figure | None = Field(default=None, description="Its standard error, where one is known.")
    rows: Count = Field(description="Rows that were asked.")
    of: Count = Field(description="Rows that the task has.")
    version: Text = Field(description="Of the task, by its metadata.")


class TasksResult(ApiModel):
    """What became of evaluation.tasks."""

    library: Text = Field(default="", description="Version of lm_eval.")
    figures: list[TaskFigure] = Field(
        default_factory=list, max_length=64, description="By task and metric; empty where there is an error."
    )
    error: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Why there are no figures, and what helps; empty where there are."
    )
