"""Makes one unit: its documents, cleaned and split, as two files of token ids. No torch: workers are many."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tokenizers

from llmtrain_api import JobFile

from ...files import digest_of, read_json, write_json
from ...special_tokens import Tokens
from ..cleaning import duplicates_of
from ..cleaning.duplicates.files import read_copies
from ..documents import documents_of_unit
from ..fill_in import joined, told, within
from ..holes import Holes
from ..reading.counts import ReadCounts
from ..reading.reader import Progress
from ..rows import Ids
from ..sources import Text
from ..tokenizer import CUTS, Cut, encoded
from .plan import Unit

TRAIN, HELD_OUT = "train", "heldout"
SIDES = (TRAIN, HELD_OUT)
ENCODER = "encoder.json"
"""The tokenizer as workers read it."""
WRITE = 4 << 20
"""Bytes of tokens that are written at once."""


@dataclass(frozen=True)
class Work:
    """All that a worker is told.

    Attributes:
        job: whose data they are.
        sources: of text, pinned.
        folder: of the token set.
        key: digest of all that its content depends on.
        dtype: numpy name of token ids.
        tokens: the tokenizer's special ones.
        cut: how a text is cut for the tokenizer.
    """

    job: JobFile
    sources: tuple[Text, ...]
    folder: Path
    key: str
    dtype: str
    tokens: Tokens
    cut: Cut

    def unit_key(self, unit: Unit) -> str:
        """All that a unit's content depends on."""
        return digest_of(
            [self.key, unit.source, unit.identity(), self.dtype, self.tokens.to_json(), self.cut]
        )


@dataclass(frozen=True)
class Made:
    """What a unit came to; pairs are training and held-out.

    Attributes:
        key: see `Work.unit_key`.
        documents: documents.
        tokens: tokens, the ends of documents included.
        sha256: of the files.
        highest: token id.
        counts: what was read.
    """

    key: str
    documents: tuple[int, int]
    tokens: tuple[int, int]
    sha256: tuple[str, str]
    highest: int
    counts: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Made | None:
        """What a unit's JSON says; None where there is none that can be read."""
        raw = read_json(path)
        try:
            pairs: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in (raw or {}).items()
            }
            return cls(**pairs)
        except TypeError:
            return None


def tokens_file(folder: Path, name: str, side: str) -> Path:
    """Where the token ids of one side of a unit lie."""
    return folder / f"unit-{name}.{side}"


def record_file(folder: Path, name: str) -> Path:
    """Where a unit's JSON lies, which is written last."""
    return folder / f"unit-{name}.json"


def done(work: Work, unit: Unit) -> Made | None:
    """What a unit came to, where it is there and made from the same text in the same way."""
    made = Made.read(record_file(work.folder, unit.name))
    if made is None or made.key != work.unit_key(unit):
        return None
    size = np.dtype(work.dtype).itemsize
    for side, count in zip(SIDES, made.tokens, strict=True):
        try:
            if tokens_file(work.folder, unit.name, side).stat().st_size != count * size:
                return None
        except OSError:
            return None
    return made


def make(work: Work, unit: Unit, progress: Progress) -> None:
    """Make a unit's files, its JSON last."""
    tokenizer = tokenizers.Tokenizer.from_file(str(work.folder / ENCODER))
    tokenizer.encode_special_tokens = True
    counts = ReadCounts()
    copies = read_copies(work.folder, unit.name) if duplicates_of(work.job.spec) else None
    found = documents_of_unit(work.job, work.sources[unit.source], unit, counts, progress, copies)
    with ExitStack() as stack:
        sides = [
            stack.enter_context(_Side(tokens_file(work.folder, unit.name, side), work.dtype, work.tokens.eos))
            for side in SIDES
        ]
        parts = told(found, Holes.of(work.job.spec), work.tokens, within(tokenizer), counts)
        for held_out, ids in joined(encoded(parts, tokenizer, CUTS[work.cut]), work.tokens):
            sides[held_out].add(ids)
        for side in sides:
            side.finish()
    train, held_out_side = sides
    made = Made(
        work.unit_key(unit),
        (train.documents, held_out_side.documents),
        (train.tokens, held_out_side.tokens),
        (train.digest.hexdigest(), held_out_side.digest.hexdigest()),
        max(side.highest for side in sides),
        counts.to_json(),
    )
    write_json(record_file(work.folder, unit.name), asdict(made))


class _Side:
    """One file in the making: it has its name once it is whole and on the disk."""

    def __init__(self, path: Path, dtype: str, eos: int) -> None:
        self._path, self._dtype, self._end = path, np.dtype(dtype), np.array([eos], dtype)
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        self._file = self._partial.open("wb")
        self._held: list[Ids] = []
        self._size = 0
        self.documents = self.tokens = self.highest = 0
        self.digest = hashlib.sha256()

    def __enter__(self) -> _Side:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def add(self, ids: Ids) -> None:
        """Append a document and its end."""
        if len(ids):
            self.highest = max(self.highest, int(ids.max()))
        self._held += [ids.astype(self._dtype), self._end]
        self._size += (len(ids) + 1) * self._dtype.itemsize
        self.documents += 1
        self.tokens += len(ids) + 1
        if self._size >= WRITE:
            self._write()

    def finish(self) -> None:
        """Give the file its name."""
        self._write()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._partial.replace(self._path)

    def _write(self) -> None:
        if self._held:
            data = np.concatenate(self._held).tobytes()
            self.digest.update(data)
            self._file.write(data)
        self._held, self._size = [], 0


def read_all(work: Work, units: list[Unit]) -> Iterator[Made]:
    """What all units came to.

    Raises:
        RuntimeError: one of them is not there.
    """
    for unit in units:
        made = done(work, unit)
        if made is None:
            raise RuntimeError(f"unit {unit.name} of {work.folder} is not there, or not as it was made")
        yield made
