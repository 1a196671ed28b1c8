"""``spec.dataset``: one source of text, or a mixture of several."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from .base import Rule, RuledModel
from .cleaning import CleaningSpec
from .columns import Fields
from .fill_in_the_middle import FillInTheMiddleSpec
from .locations import PART, forms, matches, mistake
from .mixture_shares import LONGEST, TOLERANCE, errors, parts
from .source import (
    NAME_FIX,
    NAME_FORM,
    RANDOM_TOKENS,
    REVISION,
    MaxBytes,
    Revision,
    SourceSpec,
    name_mistake,
)


def _one_kind(dataset: DatasetSpec) -> str | None:
    if dataset.name is not None and dataset.mixture is not None:
        return "both name and mixture are set; keep one of them"
    if dataset.name is None and dataset.mixture is None:
        return "is required; set it, or mixture for several sources"
    return None


def _no_noise(dataset: DatasetSpec) -> str | None:
    if RANDOM_TOKENS not in (source.name for source in dataset.mixture or ()):
        return None
    return f"{RANDOM_TOKENS} cannot be mixed: it has no text that a tokenizer could learn from; remove it"


def _distinct(dataset: DatasetSpec) -> str | None:
    names = [source.name.rstrip("/") for source in dataset.mixture or ()]
    twice = next((name for name in names if names.count(name) > 1), None)
    return None if twice is None else f"{twice} is named twice; name it once, with the sum of weights"


def _own_limits(dataset: DatasetSpec) -> str | None:
    if dataset.mixture is None or dataset.max_bytes is None:
        return None
    return f"maxBytes {dataset.max_bytes} beside mixture has no effect; give it to each source of the mixture"


def _own_fields(dataset: DatasetSpec) -> str | None:
    if dataset.mixture is None or dataset.fields is None:
        return None
    return "fields beside mixture has no effect; give it to each source of the mixture"


def _noise_is_clean(dataset: DatasetSpec) -> str | None:
    if dataset.name != RANDOM_TOKENS or dataset.cleaning is None:
        return None
    return f"{RANDOM_TOKENS} is no text that could be cleaned; remove cleaning"


def _noise_has_no_middle(dataset: DatasetSpec) -> str | None:
    if dataset.name != RANDOM_TOKENS or dataset.fill_in_the_middle is None:
        return None
    return f"{RANDOM_TOKENS} is no text that could have a middle; remove fillInTheMiddle"


def _shares(dataset: DatasetSpec) -> str | None:
    weights, wrong = dataset.weights, errors(dataset.weights)
    worst = wrong.index(max(wrong))
    if wrong[worst] <= TOLERANCE:
        return None
    source, counts = dataset.sources[worst], dataset.parts
    asked, got = weights[worst] / sum(weights), counts[worst] / sum(counts)
    return (
        f"weight {source.weight:g} of {source.name} is {100 * asked:.3g} % of the sum, but would come to "
        f"{100 * got:.3g} %, as the order counts in at most {LONGEST} parts; raise it, or remove the source"
    )


class DatasetSpec(RuledModel):
    """Where the text comes from: ``name``, or ``mixture`` for several sources."""

    name: str | None = Field(
        default=None,
        max_length=512,
        description=(
            "builtin://python-stdlib (the Python sources in the image), builtin://random-tokens (noise, for "
            "checks), pvc://CLAIM/FOLDER or file:///FOLDER with .txt, .md, .py, .jsonl, .json, .csv, .tsv or "
            ".parquet files, all but the last also as .gz, .zst, .bz2 or .xz. It may name one file, or have "
            "wildcards, as in pvc://CLAIM/FOLDER/*.jsonl. s3://BUCKET/FOLDER is read from a store, and "
            "OWNER/NAME, or OWNER/NAME/FOLDER/*.parquet, from the Hugging Face hub. Set this or mixture."
        ),
    )
    mixture: list[SourceSpec] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Several sources of text. Each sample comes once per epoch of its source.",
    )
    max_bytes: MaxBytes | None = None
    fields: Fields | None = None
    revision: Revision | None = None
    secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Secret in the job's namespace for data that lie in a store. Its keys become the "
        "workers' environment, with DATASET_ before each: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
        "AWS_ENDPOINT_URL for s3://, HF_TOKEN and HF_ENDPOINT for the hub. Default: those of output.secret.",
    )
    chat_template: str | None = Field(
        default=None,
        min_length=1,
        max_length=32768,
        description="With task chat, imageChat, preference, reward and reinforcement: Jinja text that "
        "renders messages. Default: the tokenizer's own; ChatML for a model that is built in.",
    )
    cache: str | None = Field(
        default=None,
        max_length=512,
        description="pvc://CLAIM/FOLDER or file:///FOLDER where tokens are kept for all jobs on the same "
        "text and tokenizer, whatever their sequence length and model size; with several nodes on a claim "
        "that is ReadWriteMany. Default: each job keeps its own in its output.",
    )
    cleaning: CleaningSpec | None = Field(
        default=None,
        description="What is done to documents before anything is learnt from them. Default: nothing.",
    )
    fill_in_the_middle: FillInTheMiddleSpec | None = Field(
        default=None,
        description="With task causal: training documents with a hole, so that the model learns to write "
        "what belongs between two texts, as in an editor. Held-out documents stay whole. Default: none.",
    )
    held_out_fraction: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="Share of the documents that is used for evaluation only. A document is a row or a "
        "file; a long text file is many documents, cut at blank lines.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.name) != has(self.mixture)",
            ".name",
            "set name, or mixture for several sources; not both",
            _one_kind,
        ),
        matches("name", ".name", NAME_FORM, NAME_FIX, optional=True, why=name_mistake),
        Rule(
            f"!has(self.mixture) || self.mixture.all(s, s.name != '{RANDOM_TOKENS}')",
            ".mixture",
            f"{RANDOM_TOKENS} cannot be mixed: it has no text that a tokenizer could learn from; remove it",
            _no_noise,
        ),
        Rule(
            "!has(self.mixture) || self.mixture.all(a, self.mixture.exists_one(b, a.name == b.name))",
            ".mixture",
            "a source is named twice; name it once, with the sum of weights",
            _distinct,
        ),
        Rule(
            "!has(self.mixture) || !has(self.maxBytes)",
            ".maxBytes",
            "maxBytes beside mixture has no effect; give it to each source of the mixture",
            _own_limits,
        ),
        Rule(
            "!has(self.mixture) || !has(self.fields)",
            ".fields",
            "fields beside mixture has no effect; give it to each source of the mixture",
            _own_fields,
        ),
        matches(
            "cache",
            ".cache",
            forms(PART, bucket=False),
            "use pvc://CLAIM/FOLDER or file:///FOLDER; no folder may be empty, '.' or '..'",
            optional=True,
            why=lambda uri: mistake(uri, hidden=True, bucket=False),
        ),
        REVISION,
        Rule(
            f"!has(self.cleaning) || !has(self.name) || self.name != '{RANDOM_TOKENS}'",
            ".cleaning",
            f"{RANDOM_TOKENS} is no text that could be cleaned; remove cleaning",
            _noise_is_clean,
        ),
        Rule(
            f"!has(self.fillInTheMiddle) || !has(self.name) || self.name != '{RANDOM_TOKENS}'",
            ".fillInTheMiddle",
            f"{RANDOM_TOKENS} is no text that could have a middle; remove fillInTheMiddle",
            _noise_has_no_middle,
        ),
        Rule(None, ".mixture", "each weight must be a share that the order can keep", _shares),
    )

    @property
    def sources(self) -> tuple[SourceSpec, ...]:
        """What it is made of: those of the mixture, or the one."""
        if self.mixture is not None:
            return tuple(self.mixture)
        return (
            SourceSpec(
                name=self.name or "",
                weight=1,
                max_bytes=self.max_bytes,
                fields=self.fields,
                revision=self.revision,
            ),
        )

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each source, in their order."""
        return tuple(source.weight for source in self.sources)

    @property
    def parts(self) -> tuple[int, ...]:
        """Positions that each source gets in each block of the order."""
        return parts(self.weights)

    @property
    def source_names(self) -> str:
        """The names of all sources, as a log line or a message lists them."""
        return ", ".join(source.name for source in self.sources)
