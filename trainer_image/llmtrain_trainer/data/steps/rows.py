"""Encodes all documents and packs them into rows of fixed length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

from llmtrain_api import JobFile

from ...errors import ConfigError
from ..documents import documents_of
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..rows import Ids, SequenceWriter
from ..sources import BUILTIN_BYTES
from ..store import TRAIN
from ..tokenizer import encoded

Split = Iterable[tuple[bool, Ids]]
"""The documents of one source as token ids, and whether each is for evaluation only."""
NOISE_DOCUMENT = 1024
BYTES_A_NOISE_TOKEN = 4
FEW_DOCUMENTS = 50


def write_rows(made: Preparation) -> None:
    """Leave the rows of both sides, and what was read.

    Raises:
        ConfigError: too little text.
    """
    spec = made.job.spec
    dtype = "uint16" if made.job.shape.vocabulary <= 1 << 16 else "uint32"
    length = spec.training.sequence_length
    made.train = SequenceWriter(made.folder / TRAIN, length, dtype, made.tokens.eos)
    made.held_out = SequenceWriter(made.folder / "heldout.bin", length, dtype, made.tokens.eos)
    made.counts = [ReadCounts() for _ in made.sources]
    for split in _splits(made):
        for held_out, ids in split:
            (made.held_out if held_out else made.train).add(ids)
        made.train.end_source()
        made.held_out.end_source()
    made.held_out.close()
    made.train.close()
    highest, vocabulary = made.train.highest, made.job.shape.vocabulary
    if highest >= vocabulary:
        raise ConfigError(f"token id {highest} does not fit the model's vocabulary of {vocabulary}")
    _require_enough(made)


def _splits(made: Preparation) -> Iterator[Split]:
    if made.noise:
        yield _noise(made.job)
    progress = made.progress.begin("rows")
    for source, counts in zip(made.sources, made.counts, strict=True):
        found = documents_of(made.job, source, counts, progress)
        texts = ((document.held_out, document.text) for document in found)
        around = (made.tokens.before, made.tokens.after)
        yield encoded(texts, made.tokenizer, made.cut, around)


def _require_enough(made: Preparation) -> None:
    spec, train, held_out = made.job.spec, made.train, made.held_out
    empty = next((number for number, written in enumerate(train.sources) if not written.rows), None)
    if empty is None and held_out.rows:
        return
    one = spec.dataset.mixture is None
    name = spec.dataset.source_names if empty is None else spec.dataset.sources[empty].name
    written = (
        [*train.sources, *held_out.sources]
        if empty is None
        else [side.sources[empty] for side in (train, held_out)]
    )
    missing, change = ("hold out", "raise") if empty is None else ("train on", "lower")
    cut = any(counts.files_cut for counts in made.counts)
    limit = f"raise {'dataset.maxBytes' if one else 'its maxBytes'}, " if cut else ""
    documents = sum(side.documents for side in written)
    few = empty is None and documents < FEW_DOCUMENTS
    more = "; a document is held out as a whole, so make more of them" if few else ""
    raise ConfigError(
        f"{'dataset' if one else 'dataset.mixture'} {name} is too small: no sequence of "
        f"{spec.training.sequence_length} tokens to {missing} in {documents} documents{more}",
        f"add text, {limit}{change} dataset.heldOutFraction, or lower training.sequenceLength",
    )


def _noise(job: JobFile) -> Iterator[tuple[bool, Ids]]:
    """Uniform ids. Nothing can be learnt from them, so a held-out loss below ln(vocabulary) is a leak."""
    generator = np.random.default_rng(job.spec.training.seed)
    every = max(2, math.floor(1 / job.spec.dataset.held_out_fraction))
    limit = job.spec.dataset.max_bytes or BUILTIN_BYTES
    for number in range(max(every, limit // (NOISE_DOCUMENT * BYTES_A_NOISE_TOKEN))):
        yield number % every == 0, generator.integers(0, job.shape.vocabulary, NOISE_DOCUMENT)
