"""The prepared data folder and its marker. No torch: the launcher verifies with this.

``data/`` in the output folder:

- ``data.json``: the marker (`Marker`): what it was made from, digests of all files, the report.
- ``report.json``: what was read, what was not and why, tokens, and samples of rows, decoded.
- ``heldout.npy``: the held-out sequences that are used, [sequences, sequenceLength], for ``numpy.load``.
- ``fairness.npy``, with ``training.fairness``: pairs of sentences, as rows of two sequences.
- ``tokenizer/``: a Hugging Face tokenizer. ``step-0/``: the initial model as a Hugging Face folder.
- ``images.bin`` and ``images.json``, of dialogues with images: see `pictures`.
- ``datasets/NAME/heldout.npy``, with ``evaluation.datasets``: the sequences of each set that are measured.
- ``train.bin``, of noise and of folders that older versions made: [sequences, sequenceLength] token ids, row
  by row, little-endian ``dtype`` of the marker; the rows of a mixture's sources one after another.

``tokens/NAME/`` beside it, or in ``dataset.cache``: the token stream that rows are a view of
(`units.token_set`). It depends on the text and the tokenizer alone, so it serves rows of every length.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from llmtrain_api import DataSummary, JobFile, ModelFacts

from ..errors import ConfigError
from ..files import differing, digest_of, read_json, stays_inside, write_json
from ..output import IMAGES
from ..special_tokens import OURS, Tokens
from . import cleaning, holes
from .samples import as_text
from .units.token_set import SET, read_set

LEFT_OUT = ("tooLong", "targetsTooLong", "equalAnswers", "emptyAnswers", "withoutImage")
"""Counts of dialogues, samples and pairs that no row has."""
MARKER = "data.json"
REPORT = "report.json"
FAIRNESS = "fairness.npy"
TRAIN = "train.bin"
HELD_OUT = "heldout.npy"
TOKENIZER = "tokenizer"
INITIAL = "step-0"
TOKENS = "tokens"
SETS = "datasets"
RULES = 3
"""Raised whenever the same fields of a job and the same text would give other data: 2 reads all text forms,
splits long texts, and takes special tokens that a document spells for text; 3 reads tables and reads large
files in parts."""
_RULES_KEY = "rules"


@dataclass(frozen=True)
class TokensOf:
    """Which token set the rows are a view of.

    Attributes:
        name: of its folder.
        digest: of all its tokens.
        cached: whether it lies in ``dataset.cache``.
    """

    name: str
    digest: str
    cached: bool

    def to_json(self) -> dict[str, Any]:
        """For the marker."""
        return asdict(self)


@dataclass(frozen=True)
class Marker:
    """What lies in a data folder.

    Attributes:
        key: the fields of the job that the content depends on.
        dtype: numpy name of the token ids.
        sequences: training sequences.
        held_out: held-out sequences that evaluation uses.
        unigram_entropy: of the tokens that evaluation predicts, nat a token, under their own frequencies.
        eos: id of the end-of-document token.
        files: size and digest of every file.
        report: numbers for people.
        tokens: the tokenizer's special tokens; a folder of an older version has none, and `OURS`.
        sources: training sequences of each source; a folder of an older version has none, and one source.
        stream: the token set (`TokensOf`); None where the rows are in ``train.bin``.
        labels: what the outputs of a head mean, in their order; none without a head.
        held_out_sources: held-out sequences of each source that evaluation uses; a folder of an older version
            has none.
    """

    key: dict[str, Any]
    dtype: str
    sequences: int
    held_out: int
    unigram_entropy: float
    eos: int
    files: dict[str, dict[str, Any]]
    report: dict[str, Any]
    sources: list[int] = field(default_factory=list)
    tokens: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, Any] | None = None
    labels: list[str] = field(default_factory=list)
    held_out_sources: list[int] = field(default_factory=list)

    @property
    def special(self) -> Tokens:
        """The tokenizer's special tokens."""
        return Tokens.from_json(self.tokens) if self.tokens else replace(OURS, eos=self.eos)

    @property
    def token_set(self) -> TokensOf | None:
        """The token set that its rows are a view of."""
        return TokensOf(**self.stream) if self.stream else None

    @property
    def told(self) -> dict[str, Any]:
        """The report without samples, for a line of a log."""
        return {name: value for name, value in self.report.items() if name != "samples"}

    @property
    def rows(self) -> list[int]:
        """Training sequences of each source."""
        return self.sources or [self.sequences]

    @property
    def summary(self) -> DataSummary | None:
        """What the job's status tells of the data; None for noise, and for a folder of an older version."""
        read = self.report.get("read")
        if read is None:
            return None
        return DataSummary(
            documents=sum(self.report["documents"].values()),
            tokens=self.report["tokens"]["train"] or self.report["tokens"]["heldOut"],
            bytes_read=read["bytesRead"],
            bytes_not_read=read["bytesNotRead"],
            replaced_characters=read["replacedCharacters"],
            skipped_files=sum(read.get("skipped", {}).values()),
            files=read["files"],
            skipped_documents=read.get("emptyDocuments", 0)
            + sum(read.get("droppedByCleaning", {}).values())
            + sum(read.get("dialogues", {}).get(name, 0) for name in LEFT_OUT),
            changed_documents=read.get("changedDocuments", 0),
            duplicate_documents=read.get("droppedByCleaning", {}).get(cleaning.DUPLICATES, 0),
            masked_values=sum(read.get("masked", {}).values()),
            added_documents=read.get("addedDocuments", 0),
            samples=[as_text(sample) for sample in self.report.get("samples", [])],
        )

    @property
    def digest(self) -> str:
        """One hash of all files and tokens."""
        return digest_of([self.files, self.stream] if self.stream else self.files)

    def write(self, folder: Path) -> None:
        """Write the marker, the last file of a folder."""
        write_json(folder / MARKER, asdict(self))


def read_marker(folder: Path) -> Marker | None:
    """The marker of a data folder; None where there is no readable one."""
    raw = read_json(folder / MARKER)
    try:
        return Marker(**raw) if raw else None
    except TypeError:
        return None


def tokens_root(job: JobFile, data: Path) -> Path:
    """The folder of token sets that a job makes: the cache that it names, or the one beside its data."""
    return Path(job.cache) if job.cache else data.parent / TOKENS


def tokens_folder(data: Path, marker: Marker, cache: str | None) -> Path:
    """Where the token set of a data folder lies.

    Args:
        data: the folder.
        marker: of it.
        cache: the folder of ``dataset.cache``.

    Raises:
        ConfigError: it is not where this job could see it.
    """
    found = marker.token_set
    if found is None or not stays_inside(found.name):
        raise ConfigError(f"{data / MARKER} names no token set", "use another output.uri")
    if found.cached and not cache:
        raise ConfigError(
            "the prepared data lie in a cache that this job does not name", "set dataset.cache as it was"
        )
    return (Path(cache or "") if found.cached else data.parent / TOKENS) / found.name


def tokens_torn(data: Path, marker: Marker, cache: str | None, *, contents: bool = False) -> str | None:
    """What is wrong with the token set of a data folder, in words; None when it is whole, or when there is
    none to be wrong.

    Args:
        data: the folder.
        marker: of it.
        cache: the folder of ``dataset.cache``.
        contents: whether bytes are compared too, and not only sizes.
    """
    if marker.token_set is None:
        return None
    folder = tokens_folder(data, marker, cache)
    found = read_set(folder)
    if found is None:
        return f"{folder} has no readable {SET}"
    if found.digest != marker.token_set.digest:
        return f"{folder} holds other tokens"
    return found.torn(folder, contents=contents)


def key_of(job: JobFile) -> dict[str, Any]:
    """All that decides what the data folder holds besides the text: fields of the job by their path in the
    spec, the rules of reading, and the cleaning steps with their settings."""
    spec = job.spec.to_json()
    mixture = spec["dataset"].pop("mixture", [])
    # what is done to documents is below, with its versions
    for where in ("cache", "secret", "cleaning", "fillInTheMiddle"):
        spec["dataset"].pop(where, None)
    key = {f"dataset.{name}": value for name, value in spec["dataset"].items()}
    key |= _each("dataset.mixture", mixture)
    key |= _each("evaluation.datasets", spec["evaluation"]["datasets"])
    key |= {f"model.{name}": value for name, value in job.spec.model.identity().items()}
    if job.model:
        key["model.digest"] = job.model.digest
    key |= {
        "training.sequenceLength": spec["training"]["sequenceLength"],
        "training.seed": spec["training"]["seed"],
        "evaluation.maxSequences": spec["evaluation"]["maxSequences"],
        **({"evaluation.only": True} if job.spec.evaluation.only else {}),
        _RULES_KEY: RULES,
    }
    if job.spec.task and (job.spec.task.on_dialogues or job.spec.task.on_samples):
        key["task"] = str(job.spec.task)
    if job.spec.judges_answers:  # rows of its own; those of the other losses are alike
        key["training.preference.loss"] = "kto"
    if job.spec.training.fairness:
        key["training.fairness.pairs"] = job.spec.training.fairness.pairs
    if how := job.spec.training.reinforcement:
        key |= {
            "training.reinforcement.maxNewTokens": how.max_new_tokens,
            "training.reinforcement.groupSize": how.group_size,
            "training.reinforcement.needsAnswers": how.needs_answers,
        }
    if steps := cleaning.key_of(job.spec):
        key["cleaning"] = steps
    if cut := holes.key_of(job.spec):
        key["fillInTheMiddle"] = cut
    return key


def _each(field: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of the items of a list, by their path."""
    return {
        f"{field}[{number}].{name}": value for number, one in enumerate(items) for name, value in one.items()
    }


def reusable(folder: Path, job: JobFile, *, has_checkpoints: bool) -> tuple[Marker | None, str]:
    """The data of an earlier attempt where it is whole and what this job asks for, else why not.

    Data that older rules made stay in use where checkpoints depend on them.

    Raises:
        ConfigError: it was made from something else, and there are checkpoints that depend on it.
    """
    marker = read_marker(folder)
    if marker is None:
        return None, "not prepared yet"
    wanted = key_of(job)
    different = [
        f"{name} was {marker.key.get(name)} and is {wanted.get(name)}"
        for name in sorted({*marker.key, *wanted})
        if marker.key.get(name) != wanted.get(name)
    ]
    if has_checkpoints and marker.key.get(_RULES_KEY, 1) < RULES:
        different = [reason for reason in different if not reason.startswith(f"{_RULES_KEY} ")]
    if different and has_checkpoints:
        raise ConfigError(
            f"the checkpoints in the output folder belong to other data or another model: "
            f"{'; '.join(different)}",
            "undo the change, or use another output.uri",
        )
    if different:
        return None, "; ".join(different)
    reason = differing(folder, marker.files) or tokens_torn(folder, marker, job.cache)
    return (None, reason) if reason else (marker, "")


def fingerprints(job: JobFile, marker: Marker) -> dict[str, Any]:
    """What a checkpoint must agree with to be resumed."""

    def part(prefix: str) -> str:
        return digest_of({name: entry for name, entry in marker.files.items() if name.startswith(prefix)})

    # a checkpoint of adapters has no weights of the base
    base = {}
    if job.spec.model.adapter and not (job.model and job.spec.model.pretrained):
        base = {"base": part(INITIAL)}
    return {
        "data": digest_of(
            [
                marker.token_set.digest if marker.token_set else marker.files[TRAIN],
                marker.files[HELD_OUT],
                *([marker.files[IMAGES]] if IMAGES in marker.files else []),
            ]
        ),
        "tokenizer": part(TOKENIZER),
        **settled(job),
        **base,
        **({"labels": digest_of(marker.labels)} if marker.labels else {}),
    }


def settled(job: JobFile) -> dict[str, Any]:
    """Those of the `fingerprints` that are known before there are data."""
    training, mixture = job.spec.training, job.spec.dataset.mixture
    # the same files in other proportions are another order; a checkpoint of one source has no such entry
    mixed = {"mixture": digest_of([source.to_json() for source in mixture])} if mixture else {}
    adapted = {}
    if job.spec.model.adapter:
        there = {"base": _base_of(job.model)} if job.model and job.spec.model.pretrained else {}
        adapted = {**there, "adapter": digest_of(job.spec.model.adapter.to_json())}
    return {
        "model": digest_of(job.model.digest if job.model else job.spec.model.identity()),
        "sequenceLength": training.sequence_length,
        "globalBatchSize": training.global_batch_size,
        "seed": training.seed,
        "precision": str(training.precision),
        **mixed,
        **adapted,
    }


def _base_of(facts: ModelFacts) -> str:
    """What tells frozen weights from others, also from others under the same headers."""
    return digest_of([facts.digest, facts.weights]) if facts.weights else facts.digest
