"""The sources of a job: which folder each is, and its documents in a fixed order, never all in memory."""

from __future__ import annotations

import hashlib
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from llmtrain_api import JobFile
from llmtrain_api.schema.source import PYTHON_STDLIB, SourceSpec

from ..errors import ConfigError
from .reading.blocks import block_length
from .reading.counts import ReadCounts
from .reading.forms import FORMS, Form, may_hold_data
from .reading.limits import evenly, in_order
from .reading.patterns import EVERYTHING, only, split
from .reading.pieces import Piece, whole
from .reading.reader import Bounds, Progress, Reader, no_progress, require_text, text_sizes
from .reading.record import TEXT, Record, Take, TakeRow, TakeText
from .reading.stores import S3, is_remote, pinned, survey_store
from .reading.survey import JOB_FILES, DataFile, Survey, survey

Item = TypeVar("Item")
BUILTIN_BYTES = 8_000_000
"""Read of built-in data where the job states no limit."""
GLANCE_FILES = 64
"""Files of a source that a look at the data opens at most."""
CARDS = ("readme.md", "license.md", "dataset_card.md", "changelog.md")
_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})


@dataclass(frozen=True)
class Text:
    """One source of documents.

    Attributes:
        field: the field of the job that names it.
        name: as that field says.
        folder: where it lies, or a file, or either with wildcards; not read for built-in data.
        max_bytes: read at most so many; None for all of a folder, `BUILTIN_BYTES` of built-in data.
        column: of rows that holds the text.
        revision: of a dataset on the hub; a commit once it is pinned.
        named_columns: that the job names, by the field that names them.
        glance: bytes of text after which a look at the data ends; None for all that the job reads.
    """

    field: str
    name: str
    folder: Path
    max_bytes: int | None
    column: str = TEXT
    revision: str | None = None
    named_columns: Mapping[str, str] | None = None
    glance: int | None = None

    @property
    def limit(self) -> int | None:
        """Bytes of text that are read at most."""
        return self.max_bytes or (BUILTIN_BYTES if self.name == PYTHON_STDLIB else None)

    @property
    def limit_field(self) -> str:
        """The field of the job that limits it."""
        return f"{self.field.removesuffix('.name')}.maxBytes"


def texts_of(job: JobFile) -> list[Text]:
    """The sources of a job, in the order of its list."""
    dataset = job.spec.dataset
    return [
        text_of(
            "dataset.name" if dataset.mixture is None else f"dataset.mixture[{number}].name",
            source,
            job.sources.get(source.name) or job.dataset,
        )
        for number, source in enumerate(dataset.sources)
    ]


def text_of(field: str, source: SourceSpec, folder: str | None) -> Text:
    """A source as it is read.

    Args:
        field: of the job that names it, for messages.
        source: as the job says.
        folder: where it is mounted; None: it is not, or its name says where.
    """
    return Text(
        field,
        source.name,
        Path(folder or source.name.removeprefix("file://")),
        source.max_bytes,
        source.text_column,
        source.revision,
        source.named_columns,
    )


def documents(
    source: Text, counts: ReadCounts | None = None, progress: Progress = no_progress
) -> Iterator[str]:
    """The texts of a source, up to its limit.

    Args:
        source: what is read.
        counts: is filled with what was read and what was not.
        progress: told of bytes that are passed.

    Raises:
        ConfigError: a folder without a readable document, or one that must not be read as it is.
    """
    return taken(source, TakeText(source.column), counts, progress)


def records(
    source: Text,
    counts: ReadCounts | None = None,
    progress: Progress = no_progress,
    take: TakeRow | None = None,
) -> Iterator[Record]:
    """The rows of a source as they are, up to its limit; a file of text is one record, or many, of text.

    Args:
        source: what is read.
        counts: is filled with what was read and what was not.
        progress: told of bytes that are passed.
        take: says which columns are read.

    Raises:
        ConfigError: a folder without a readable row, or one that must not be read as it is.
    """
    return taken(source, take or TakeRow(), counts, progress)


def taken(
    source: Text, take: Take[Item], counts: ReadCounts | None = None, progress: Progress = no_progress
) -> Iterator[Item]:
    """What is taken of the records of a source; see `documents`."""
    counts = ReadCounts() if counts is None else counts
    found = surveyed(source, take.columns)
    counts.skipped.update(found.skipped)
    counts.examples = found.skipped_text()
    yield from of_pieces(source, *read_of(source, found.files), take, counts, progress)
    with named(source):
        require_text(counts)


def read_of(source: Text, files: Sequence[DataFile]) -> tuple[list[Piece], Bounds]:
    """What is read of a source's files, and how far.

    Args:
        source: whose.
        files: all of them. A look at the data reads the first ones, and cuts texts as the job would.
    """
    pieces = [whole(file) for file in files]
    library, limit = source.name == PYTHON_STDLIB, source.limit
    allowed = sum((in_order if library else evenly)(text_sizes(pieces), limit))
    length = (1 << 62) if library else block_length(allowed)
    if source.glance is not None:
        return pieces[:GLANCE_FILES], Bounds(length, min(source.glance, allowed), first=True)
    return pieces, Bounds(length, limit, library)


def of_pieces(
    source: Text,
    pieces: Sequence[Piece],
    bounds: Bounds,
    take: Take[Item],
    counts: ReadCounts,
    progress: Progress = no_progress,
) -> Iterator[Item]:
    """What is taken of the records of some pieces of a source's files.

    Raises:
        ConfigError: one that must not be read as it is, with file, line or row, and the fix.
    """
    reader = Reader(pieces, bounds, counts, take, progress=progress)
    with named(source):
        try:
            yield from reader.items()
        except ConfigError:
            # once more with lines counted, for the message: nobody counts those before a part of a file
            if any(piece.start for piece in pieces):
                again = Reader(pieces, bounds, ReadCounts(), take, exact=True)
                deque(again.items(), maxlen=0)
            raise


@contextmanager
def named(source: Text) -> Iterator[None]:
    """Mistakes in a source's files say which source it is."""
    try:
        yield
    except ConfigError as error:
        raise _in(source, error) from None


def surveyed(source: Text, columns: tuple[str, ...] | None = None) -> Survey:
    """The files of a source.

    Args:
        source: whose.
        columns: that rows must have; None for any.

    Raises:
        ConfigError: no folder, nothing to read in it, or files that must not be passed over.
    """
    if source.name == PYTHON_STDLIB:
        return Survey(_stdlib())
    where = f"{source.field} {source.name}"
    if is_remote(source.name):
        with named(source):
            found = survey_store(source.name, source.revision, where, columns)
        require_data(where, found)
        return found
    root, pattern = source.folder, EVERYTHING
    if root.is_file():
        root, pattern = root.parent, only(root.name)
    elif not root.is_dir():
        before, pattern = split(str(root))
        root = Path(before)
        if not pattern.parts or not root.is_dir():
            raise ConfigError(f"{where}: no such folder or file", "check the claim and the folder's name")
    if any((root / name).exists() for name in JOB_FILES):
        raise ConfigError(
            f"{where} is the output folder of a job", "name a folder that holds the text and nothing else"
        )
    with named(source):
        found = survey(root, pattern, columns)
    require_data(where, found)
    return found


def pin(source: Text) -> Text:
    """The source as it is now: of a dataset on the hub, the commit that is read from here on.

    Raises:
        ConfigError: there is no such dataset or revision, or it may not be read.
    """
    if not is_remote(source.name) or source.name.startswith(S3):
        return source
    where = f"{source.field} {source.name}"
    return replace(source, revision=pinned(source.name, source.revision, where))


def require_data(where: str, found: Survey) -> None:
    """Something to read must have been found.

    Args:
        where: the field and the name of the source.
        found: its files.

    Raises:
        ConfigError: there is nothing, or only what describes data.
    """
    if not found.files:
        passed_over = f"; not read: {found.skipped_text()}" if found.skipped else ""
        raise ConfigError(
            f"{where} has no file ending in {', '.join(FORMS)} (also with .gz, .zst, .bz2 or .xz)"
            f"{passed_over}",
            "add some text, or correct the name",
        )
    if _only_describes(found):
        raise ConfigError(
            f"{where} has nothing to read but what describes it ({found.files[0].name}); not read: "
            f"{found.skipped_text()}",
            "add the data as .jsonl or .txt",
        )


def in_turn(streams: Iterable[Iterator[Item]]) -> Iterator[Item]:
    """One item of each stream in turn, until all have ended: whoever stops early has seen some of each."""
    left = list(streams)
    while left:
        going = []
        for stream in left:
            try:
                item = next(stream)
            except StopIteration:
                continue
            going.append(stream)
            yield item
        left = going


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a document is for evaluation only. By its content: copies fall on the same side."""
    first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return first < fraction * 2**64


def _in(source: Text, error: ConfigError) -> ConfigError:
    where = f"{source.field} {source.name}"
    return error if error.message.startswith(where) else ConfigError(f"{where}: {error.message}", error.hint)


def _only_describes(found: Survey) -> bool:
    """Whether all that could be read is markdown about data which cannot be."""
    if any(file.form is not Form.MARKDOWN for file in found.files):
        return False
    cards = all(file.name.rpartition("/")[2].lower() in CARDS for file in found.files)
    return (cards and bool(found.skipped)) or any(map(may_hold_data, found.skipped))


def _stdlib() -> list[DataFile]:
    root = Path(sysconfig.get_path("stdlib"))
    paths = (
        path
        for path in sorted(root.rglob("*.py"))
        if not _NOT_LIBRARY.intersection(path.relative_to(root).parts)
    )
    return [
        DataFile(path, str(path.relative_to(root)), Form.TEXT, compression="", size=path.stat().st_size)
        for path in paths
    ]
