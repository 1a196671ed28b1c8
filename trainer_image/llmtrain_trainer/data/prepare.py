"""Makes the data folder: documents, split, tokenizer, sequences, the step-0 model. Once a job, on node 0."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import transformers

from llmtrain_api import JobFile
from llmtrain_api.schema.dataset import RANDOM_TOKENS

from ..errors import ConfigError
from ..files import inventory, sync_tree
from ..models.build import write_initial
from ..tasks import special_tokens
from .rows import Ids, SequenceWriter, held_out_counts, spread
from .sources import BUILTIN_BYTES, Text, documents, in_turn, is_held_out, texts_of
from .store import HELD_OUT, INITIAL, TOKENIZER, TRAIN, Marker, key_of
from .tokenizer import EOS, numbered, train_bpe

Split = Iterator[tuple[bool, Iterable[int] | Ids]]
"""The documents of one source as token ids, and whether each is for evaluation only."""
NOISE_DOCUMENT = 1024
BYTES_A_NOISE_TOKEN = 4


def prepare(job: JobFile, folder: Path) -> Marker:
    """Fill an empty folder; the marker is the last file of it.

    Raises:
        ConfigError: too little text for one training sequence of each source and one held-out sequence.
    """
    folder.mkdir(parents=True)
    noise = job.spec.dataset.name == RANDOM_TOKENS
    vocabulary = job.spec.model.vocab_size
    special = special_tokens(job.spec.model.name)
    tokenizer = numbered(vocabulary, special) if noise else _trained(job, vocabulary, special)
    eos = int(tokenizer.token_to_id(EOS))
    split = [_noise(job)] if noise else [_encoded(job, source, tokenizer) for source in texts_of(job)]
    train, held_out = _write_sequences(job, folder, split, eos)
    _require_enough(job, train, held_out)
    entropy, used = _save_held_out(job, folder, held_out)
    _save_tokenizer(tokenizer, folder / TOKENIZER)
    model = write_initial(job.spec, eos, folder / INITIAL)
    marker = Marker(
        key=key_of(job),
        dtype=str(train.dtype),
        sequences=train.rows,
        held_out=sum(used),
        unigram_entropy=entropy,
        eos=eos,
        files=inventory(folder),
        report={
            **_counted(job, train, held_out, used),
            "vocabulary": int(tokenizer.get_vocab_size()),
            "unigramEntropy": entropy,
            "parameters": model["parameters"],
            "python": platform.python_version(),
        },
        sources=[source.rows for source in train.sources],
    )
    marker.write(folder)
    sync_tree(folder)
    return marker


def _save_tokenizer(tokenizer: Any, folder: Path) -> None:
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, bos_token=EOS, clean_up_tokenization_spaces=False
    ).save_pretrained(folder)


def unigram_entropy(sequences: Ids) -> float:
    """Entropy of the predicted tokens (all but each row's first) under their own frequencies, in nat: what
    a model that only counts tokens, and had seen these very tokens, would reach."""
    counts = np.bincount(sequences[:, 1:].ravel().astype(np.int64))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _trained(job: JobFile, vocabulary: int, special: list[str]) -> Any:
    """A tokenizer of all sources' training documents: in turn, as it stops at so many bytes."""
    fraction = job.spec.dataset.held_out_fraction
    texts = in_turn(documents(source) for source in texts_of(job))
    return train_bpe((text for text in texts if not is_held_out(text, fraction)), vocabulary, special)


def _counted(
    job: JobFile, train: SequenceWriter, held_out: SequenceWriter, used: list[int]
) -> dict[str, Any]:
    """Documents and tokens, for people; of a mixture those of each source too."""

    def numbers(documents: tuple[int, int], rows: tuple[int, int]) -> dict[str, Any]:
        tokens = [count * train.length for count in rows]
        return {
            name: dict(zip(("train", "heldOut"), pair, strict=True))
            for name, pair in (("documents", documents), ("tokens", tokens))
        }

    every = numbers((train.documents, held_out.documents), (train.rows, sum(used)))
    if job.spec.dataset.mixture is None:
        return every
    sources = zip(job.spec.dataset.sources, train.sources, held_out.sources, used, strict=True)
    told = [
        {"name": source.name, **numbers((for_train.documents, kept.documents), (for_train.rows, count))}
        for source, for_train, kept, count in sources
    ]
    return {**every, "sources": told}


def _write_sequences(
    job: JobFile, folder: Path, split: list[Split], eos: int
) -> tuple[SequenceWriter, SequenceWriter]:
    dtype = "uint16" if job.spec.model.vocab_size <= 1 << 16 else "uint32"
    length = job.spec.training.sequence_length
    train = SequenceWriter(folder / TRAIN, length, dtype, eos)
    held_out = SequenceWriter(folder / "heldout.bin", length, dtype, eos)
    for source in split:
        for evaluate_only, ids in source:
            (held_out if evaluate_only else train).add(ids)
        train.end_source()
        held_out.end_source()
    held_out.close()
    highest = int(train.close().max(initial=0))
    if highest >= job.spec.model.vocab_size:
        raise ConfigError(f"token id {highest} does not fit model.vocabSize {job.spec.model.vocab_size}")
    return train, held_out


def _save_held_out(job: JobFile, folder: Path, writer: SequenceWriter) -> tuple[float, list[int]]:
    """Keep the sequences that evaluation uses; their entropy, and how many of each source they are."""
    rows, found = writer.close(), [source.rows for source in writer.sources]
    used = held_out_counts(found, job.spec.dataset.parts, job.spec.evaluation.max_sequences)
    chosen = np.ascontiguousarray(rows[spread(found, used)])
    np.save(folder / HELD_OUT, chosen)
    writer.path.unlink()
    return unigram_entropy(chosen), used


def _require_enough(job: JobFile, train: SequenceWriter, held_out: SequenceWriter) -> None:
    pairs = zip(job.spec.dataset.sources, train.sources, strict=True)
    empty = next((source.name for source, written in pairs if not written.rows), None)
    missing = "train on" if empty else "hold out" if not held_out.rows else None
    if missing:
        one = job.spec.dataset.mixture is None
        field, limit = ("dataset", "dataset.maxBytes") if one else ("dataset.mixture", "its maxBytes")
        raise ConfigError(
            f"{field} {empty or job.spec.dataset.said} is too small: no sequence of "
            f"{job.spec.training.sequence_length} tokens to {missing}",
            f"add text, raise {limit} or dataset.heldOutFraction, or lower training.sequenceLength",
        )


def _encoded(job: JobFile, source: Text, tokenizer: Any) -> Split:
    texts = documents(source)
    while batch := list(islice(texts, 256)):
        for text, encoding in zip(batch, tokenizer.encode_batch(batch), strict=True):
            yield is_held_out(text, job.spec.dataset.held_out_fraction), encoding.ids


def _noise(job: JobFile) -> Split:
    """Uniform ids. Nothing can be learnt from them, so a held-out loss below ln(vocabulary) is a leak."""
    generator = np.random.default_rng(job.spec.training.seed)
    every = max(2, math.floor(1 / job.spec.dataset.held_out_fraction))
    size = job.spec.dataset.max_bytes or BUILTIN_BYTES
    for number in range(max(every, size // (NOISE_DOCUMENT * BYTES_A_NOISE_TOKEN))):
        yield number % every == 0, generator.integers(0, job.spec.model.vocab_size, NOISE_DOCUMENT)
