"""``status.results``: what a finished job leaves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..base import ApiModel
from ..evaluation_set import MOST_SETS
from .adapters import AdapterResult
from .answers import AnswersResult
from .measured import DatasetResult, ScoresResult, SourceResult, TasksResult
from .origin import Origin
from .progress import ReinforcementFigures
from .values import Count, Figure, LongText, Text


class DataSummary(ApiModel):
    """What was read of the dataset, and what was not."""

    documents: Count = Field(description="Documents for training and for evaluation.")
    tokens: Count = Field(
        description="Tokens that training reads in one epoch; with evaluation.only those that are measured."
    )
    bytes_read: Count = Field(description="Bytes of the dataset's files that were read.")
    bytes_not_read: Count = Field(
        description="Bytes of the dataset's files beyond maxBytes, which were not read."
    )
    replaced_characters: Count = Field(
        description="Bytes and halves of characters that are no text; U+FFFD stands for each."
    )
    skipped_files: Count = Field(
        description="Files and folders that are not read; the log of preparation names them."
    )
    files: Count = Field(default=0, description="Files that were read.")
    skipped_documents: Count = Field(
        default=0,
        description="Documents that are empty, that cleaning dropped, or dialogues that have no room in a "
        "sequence.",
    )
    changed_documents: Count = Field(default=0, description="Documents that cleaning changed.")
    duplicate_documents: Count = Field(
        default=0, description="Of the skipped documents, those that are copies of another."
    )
    masked_values: Count = Field(default=0, description="Personal data that placeholders replaced.")
    added_documents: Count = Field(default=0, description="Copies of documents with swapped terms.")
    samples: list[Text] = Field(
        default_factory=list,
        max_length=5,
        description="Training sequences as text, each from its beginning; report.json beside the data has "
        "more of them. What stands between ⟪ and ⟫ is read, but not trained on.",
    )


class PreferenceResult(ApiModel):
    """How the exported model tells the better answer of held-out pairs."""

    pairs: Count = Field(description="Held-out pairs.")
    reward_accuracy: Figure | None = Field(
        default=None, description="Share of them whose better answer has the higher reward."
    )
    reward_margin: Figure | None = Field(
        default=None, description="How much higher it is, mean over the pairs."
    )
    longer_accuracy: Figure | None = Field(
        default=None,
        description="Accuracy of whoever takes the answer of more tokens for the better one; equal lengths "
        "count half.",
    )


class KtoResult(ApiModel):
    """How the exported model tells desirable answers that are held out from others. A reward is beta times
    the logarithm of how much likelier an answer has become."""

    samples: Count = Field(description="Held-out answers.")
    accuracy: Figure | None = Field(
        default=None,
        description="Share of them whose reward is on the right side of that of the divergence: above it "
        "where they are desirable, else below it.",
    )
    majority_accuracy: Figure | None = Field(
        default=None,
        description="The same of whoever always says what is more frequent in the training data.",
    )
    desirable_reward: Figure | None = Field(
        default=None, description="Reward of desirable answers, their mean; empty where none is held out."
    )
    undesirable_reward: Figure | None = Field(default=None, description="The same of the others.")
    divergence: Figure | None = Field(
        default=None,
        description="How much likelier answers to other prompts have become, in nats, their mean or 0: the "
        "estimate of the divergence from the start model that rewards are compared with.",
    )


class ReinforcementResult(ReinforcementFigures):
    """What the trained model's answers to held-out prompts get, a group of them to each."""

    prompts: Count = Field(description="Held-out prompts.")


class FairnessCategory(ApiModel):
    """The pairs of one category."""

    category: Text = Field(description="As the file names it.")
    pairs: Count = Field(description="Pairs that were compared.")
    prefers_a: Figure = Field(description="Share of them whose text a is likelier; equal ones count half.")
    gap: Figure = Field(description="Log-likelihood of a less that of b, in nat, mean over the pairs.")
    low: Figure | None = Field(
        default=None,
        description="Begin of the 95 % interval of the gap, by a bootstrap over the pairs; empty for one.",
    )
    high: Figure | None = Field(default=None, description="End of this interval.")


class FairnessResult(ApiModel):
    """Which text of pairs the exported model finds likelier."""

    source: Annotated[str, Field(max_length=512)] = Field(description="The file of the pairs.")
    score: Text = Field(description="logLikelihood, or of a model that fills masks pseudoLogLikelihood.")
    pairs: Count = Field(description="Pairs that were compared.")
    of: Count = Field(description="Pairs in the file.")
    categories: list[FairnessCategory] = Field(max_length=16, description="In the order of their names.")


class PublishedResult(ApiModel):
    """What became of the push to a model hub, a registry of images, or one of MLflow."""

    hub: Annotated[str, Field(max_length=193)] | None = Field(
        default=None, description="The repository of a hub, OWNER/NAME."
    )
    oci: Annotated[str, Field(max_length=255)] | None = Field(
        default=None, description="The repository of a registry, HOST/REPOSITORY."
    )
    mlflow: Annotated[str, Field(max_length=128)] | None = Field(
        default=None, description="The registered model of MLflow."
    )
    revision: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="Branch of the hub that has the commit, or tag of the registry that names the image.",
    )
    url: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None,
        description="Page of the commit or version, or oci://HOST/REPOSITORY@DIGEST; empty where the push "
        "failed.",
    )
    commit: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The commit of a hub; empty where the push failed."
    )
    digest: Annotated[str, Field(max_length=71)] | None = Field(
        default=None, description="Digest of the image of a registry; empty where the push failed."
    )
    model_version: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Version of the registered model; empty where the push failed."
    )
    error: Annotated[str, Field(max_length=512)] | None = Field(
        default=None, description="Why the push failed, and what helps; empty where it did not."
    )

    @property
    def target(self) -> str:
        """The place, as the job names it."""
        return self.hub or self.oci or self.mlflow or ""

    @property
    def version(self) -> str:
        """What is there now, in words."""
        if self.mlflow is not None:
            return f"version {self.model_version}"
        return f"{f'digest {self.digest}' if self.oci else f'commit {self.commit}'} of {self.revision}"


class Results(ApiModel):
    """Results of a job that succeeded."""

    steps: Count | None = Field(
        default=None, description="Optimizer steps done; empty where a program of one's own told of none."
    )
    stop_reason: Text | None = Field(default=None, description="Why training ended before its last step.")
    skipped_steps: int | None = Field(
        default=None,
        ge=0,
        description="Steps without an update, because a rewind skipped them or they were not finite.",
    )
    best_step: Count | None = Field(default=None, description="Step with the lowest held-out loss.")
    best_eval_loss: Figure | None = Field(
        default=None, description="Lowest held-out loss, in nats per token."
    )
    exported_step: Count | None = Field(
        default=None,
        description="Step whose weights are exported, and whose losses these are: the last one, or with "
        "checkpoint.keepBest the best that was saved.",
    )
    train_loss: Figure | None = Field(
        default=None, description="Training loss of the exported step, in nats per token."
    )
    fairness_penalty: Figure | None = Field(
        default=None,
        description="With training.fairness: squared gap of log-likelihood, in nat squared, mean over the "
        "pairs of the exported step and without its weight.",
    )
    eval_loss: Figure | None = Field(
        default=None,
        description="Held-out loss of the exported model, in nats per token; with task preference and "
        "reward per pair, or with loss kto per answer; that loss is no logarithm. With task "
        "reinforcement minus the mean reward of an answer.",
    )
    perplexity: Figure | None = Field(default=None, description="Held-out perplexity of the exported model.")
    data: DataSummary | None = Field(
        default=None, description="What was read of the dataset; empty for data that are no text."
    )
    unigram_entropy: Figure | None = Field(
        default=None, description="Entropy of single held-out tokens, in nats per token."
    )
    export_uri: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Folder with the trained model, as Hugging Face libraries read it."
    )
    adapter: AdapterResult | None = Field(
        default=None, description="The adapter in it; empty without model.adapter."
    )
    published: PublishedResult | None = Field(
        default=None, description="What became of output.publish; empty without it."
    )
    origin: Origin | None = Field(
        default=None, description="The step of another job that training began with; empty without one."
    )
    sources: list[SourceResult] = Field(
        default_factory=list,
        max_length=64,
        description="With evaluation.only and dataset.mixture: each source by itself, in their order.",
    )
    datasets: list[DatasetResult] = Field(
        default_factory=list,
        max_length=MOST_SETS,
        description="Each set of evaluation.datasets by itself, in their order; results.json has them where "
        "they have no room here.",
    )
    tasks: TasksResult | None = Field(
        default=None, description="What became of evaluation.tasks; empty without it."
    )
    answers: AnswersResult | None = Field(
        default=None, description="How its answers to held-out dialogues compare to theirs, where asked."
    )
    preference: PreferenceResult | None = Field(
        default=None,
        description="How it tells the better answer of held-out pairs, with task preference and reward.",
    )
    kto: KtoResult | None = Field(
        default=None, description="How it tells desirable answers from others, with loss kto."
    )
    reinforcement: ReinforcementResult | None = Field(
        default=None, description="What its answers to held-out prompts get, with task reinforcement."
    )
    scores: ScoresResult | None = Field(
        default=None, description="What it says of held-out samples, with a task that has a head of its own."
    )
    sample: LongText | None = Field(default=None, description="Text generated by the exported model.")
    fairness: FairnessResult | None = Field(
        default=None,
        description="Which text of pairs it finds likelier, by category, where asked; results.json has it "
        "where it has no room here.",
    )
    explained: Count | None = Field(
        default=None,
        description="Texts that explanation.html of the export explains; empty where none was asked for, or "
        "could be made.",
    )

    @property
    def measured(self) -> bool:
        """Whether the model was measured as it is, and nothing trained."""
        return self.steps == 0 and self.eval_loss is not None

    @property
    def work(self) -> str:
        """What was done, in words; empty where nobody told."""
        if self.measured:
            return "measured, nothing trained"
        return "" if self.steps is None else f"{self.steps} steps"
