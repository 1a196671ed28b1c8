"""Makes the data folder: documents, split, tokenizer, sequences, the step-0 model. Once a job, on node 0."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import transformers

from llmtrain_api import JobFile

from ..errors import ConfigError
from ..files import inventory, sync_tree
from ..models.build import write_initial
from ..tasks import special_tokens
from .sources import RANDOM_TOKENS, documents, is_held_out
from .store import HELD_OUT, INITIAL, TOKENIZER, TRAIN, Marker, key_of
from .tokenizer import EOS, numbered, train_bpe

Ids = npt.NDArray[Any]
NOISE_DOCUMENT = 1024
BYTES_A_NOISE_TOKEN = 4


class SequenceWriter:
    """Joins documents with an end token between them and writes them as rows of fixed length."""

    def __init__(self, path: Path, length: int, dtype: str, eos: int) -> None:
        self.path, self.length, self.dtype, self.eos = path, length, np.dtype(dtype), eos
        self.rows = self.documents = 0
        self._rest: Ids = np.zeros(0, self.dtype)
        self._file = path.open("wb")

    def add(self, ids: Iterable[int] | Ids) -> None:
        """Append one document."""
        document = np.append(np.asarray(ids, np.int64), self.eos).astype(self.dtype)
        joined = np.concatenate([self._rest, document])
        whole = len(joined) // self.length * self.length
        self._file.write(joined[:whole].tobytes())
        self._rest = joined[whole:]
        self.rows += whole // self.length
        self.documents += 1

    def close(self) -> Ids:
        """Finish the file and map it. What does not fill a row is dropped."""
        self._file.close()
        if not self.rows:
            return np.zeros((0, self.length), self.dtype)
        return np.memmap(self.path, self.dtype, "r", shape=(self.rows, self.length))


def prepare(job: JobFile, folder: Path) -> Marker:
    """Fill an empty folder; the marker is the last file of it.

    Raises:
        ConfigError: too little text for one training and one held-out sequence.
    """
    folder.mkdir(parents=True)
    noise = job.spec.dataset.name == RANDOM_TOKENS
    vocabulary = job.spec.model.vocab_size
    fraction = job.spec.dataset.held_out_fraction
    texts = (text for text in documents(job) if not is_held_out(text, fraction))
    special = special_tokens(job.spec.model.name)
    tokenizer = numbered(vocabulary, special) if noise else train_bpe(texts, vocabulary, special)
    eos = int(tokenizer.token_to_id(EOS))
    split = _noise(job) if noise else _encoded(job, tokenizer)
    train, held_out = _write_sequences(job, folder, split, eos)
    _require_enough(job, train.rows, held_out.rows)
    entropy, used = _save_held_out(job, folder, held_out)
    _save_tokenizer(tokenizer, folder / TOKENIZER)
    model = write_initial(job.spec, eos, folder / INITIAL)
    report = {
        "documents": {"train": train.documents, "heldOut": held_out.documents},
        "tokens": {"train": train.rows * train.length, "heldOut": used * train.length},
        "vocabulary": int(tokenizer.get_vocab_size()),
        "unigramEntropy": entropy,
        "parameters": model["parameters"],
        "python": platform.python_version(),
    }
    marker = Marker(
        key=key_of(job),
        dtype=str(train.dtype),
        sequences=train.rows,
        held_out=used,
        unigram_entropy=entropy,
        eos=eos,
        files=inventory(folder),
        report=report,
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


def _write_sequences(
    job: JobFile, folder: Path, split: Iterator[tuple[bool, Iterable[int] | Ids]], eos: int
) -> tuple[SequenceWriter, SequenceWriter]:
    dtype = "uint16" if job.spec.model.vocab_size <= 1 << 16 else "uint32"
    length = job.spec.training.sequence_length
    train = SequenceWriter(folder / TRAIN, length, dtype, eos)
    held_out = SequenceWriter(folder / "heldout.bin", length, dtype, eos)
    for evaluate_only, ids in split:
        (held_out if evaluate_only else train).add(ids)
    highest = int(train.close().max(initial=0))
    if highest >= job.spec.model.vocab_size:
        raise ConfigError(f"token id {highest} does not fit model.vocabSize {job.spec.model.vocab_size}")
    return train, held_out


def _save_held_out(job: JobFile, folder: Path, writer: SequenceWriter) -> tuple[float, int]:
    """Keep the sequences that evaluation uses: spread evenly, so that they are not one document's."""
    rows = writer.close()
    count = min(len(rows), job.spec.evaluation.max_sequences)
    chosen = np.ascontiguousarray(rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)])
    np.save(folder / HELD_OUT, chosen)
    writer.path.unlink()
    return unigram_entropy(chosen), count


def _require_enough(job: JobFile, train: int, held_out: int) -> None:
    missing = "train on" if not train else "hold out" if not held_out else None
    if missing:
        raise ConfigError(
            f"dataset {job.spec.dataset.name} is too small: no sequence of "
            f"{job.spec.training.sequence_length} tokens to {missing}",
            "add text, raise dataset.maxBytes or dataset.heldOutFraction, or lower training.sequenceLength",
        )


def _encoded(job: JobFile, tokenizer: Any) -> Iterator[tuple[bool, list[int]]]:
    texts = documents(job)
    while batch := list(islice(texts, 256)):
        for text, encoding in zip(batch, tokenizer.encode_batch(batch), strict=True):
            yield is_held_out(text, job.spec.dataset.held_out_fraction), encoding.ids


def _noise(job: JobFile) -> Iterator[tuple[bool, Ids]]:
    """Uniform ids. Nothing can be learnt from them, so a held-out loss below ln(vocabulary) is a leak."""
    generator = np.random.default_rng(job.spec.training.seed)
    every = max(2, math.floor(1 / job.spec.dataset.held_out_fraction))
    for number in range(max(every, job.spec.dataset.max_bytes // (NOISE_DOCUMENT * BYTES_A_NOISE_TOKEN))):
        yield number % every == 0, generator.integers(0, job.spec.model.vocab_size, NOISE_DOCUMENT)
