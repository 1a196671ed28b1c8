"""How text lies in a file, by its name; only of ``.json`` the beginning is looked at too."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import IO, Protocol

from ...errors import ConfigError
from ...git_lfs import require_content
from .compression import COMPRESSIONS, DAMAGED, unpacked
from .decoding import encoding_of


class Form(StrEnum):
    """One way in which a file holds documents."""

    TEXT = "text"
    MARKDOWN = "markdown"
    LINES = "lines"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


FORMS = {
    ".txt": Form.TEXT,
    ".py": Form.TEXT,
    ".md": Form.MARKDOWN,
    ".jsonl": Form.LINES,
    ".ndjson": Form.LINES,
    ".json": Form.JSON,
    ".csv": Form.CSV,
    ".tsv": Form.CSV,
    ".parquet": Form.PARQUET,
}
TEXTS = frozenset({Form.TEXT, Form.MARKDOWN})
ROWS = frozenset({Form.LINES, Form.JSON, Form.CSV, Form.PARQUET})
TABLES = (".arrow", ".feather", ".orc", ".avro", ".tfrecord")
PACKED = (".lz4", ".br", ".lzma", ".z")
MAYBE = (".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".xlsx", ".db", ".sqlite", ".pkl", ".npy")
NOT_READ = "form that is not read: "
OTHER_JSON = ".json without rows of text"
_BEGINNING = 1 << 16


class Openable(Protocol):
    """Where the bytes of a file come from: a path on a disk, or a name in a store."""

    def open(self, mode: str, /) -> IO[bytes]:
        """A stream that can be sought in."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file's name says of it.

    Attributes:
        form: how its text lies in it; None where it is not read.
        compression: the last ending, such as ``.gz``; empty without one.
        reason: why it is not read.
    """

    form: Form | None
    compression: str = ""
    reason: str = ""


def kind_of_name(name: str) -> Kind:
    """The form of a file by the endings of its name."""
    suffixes = _suffixes(name)
    last = suffixes[-1] if suffixes else ""
    compressed = last in COMPRESSIONS and len(suffixes) == 2 and suffixes[0] in FORMS
    form = FORMS.get(suffixes[0] if compressed else last)
    if form is Form.PARQUET and compressed:
        form = None
    if form is None:
        known = (*FORMS, *TABLES)
        whole = last == ".gz" or (len(suffixes) == 2 and suffixes[0] in known and last in _ALL_PACKED)
        kind = "".join(suffixes) if whole else last
        return Kind(None, "", f"{NOT_READ}{kind[:20] or 'no ending'}")
    return Kind(form, last if compressed else "")


_ALL_PACKED = (*COMPRESSIONS, *PACKED)


def _suffixes(name: str) -> list[str]:
    base = name.rpartition("/")[2].lstrip(".")
    return [f".{part.lower()}" for part in base.split(".")[1:][-2:]]


def refused_form(reason: str) -> bool:
    """Whether files that are skipped for this reason hold nothing but data, so that they must not be."""
    kind = reason.removeprefix(NOT_READ)
    packed = any(kind == form + end for form in (*FORMS, *TABLES) for end in _ALL_PACKED)
    return reason.startswith(NOT_READ) and (kind in TABLES or packed)


def may_hold_data(reason: str) -> bool:
    """Whether files that are skipped for this reason may be a dataset, or a part of a program as well."""
    kind = reason.removeprefix(NOT_READ)
    return reason.startswith(NOT_READ) and (kind in MAYBE or kind.endswith(_ALL_PACKED))


def holds_rows(file: Openable, name: str, compression: str, columns: Collection[str] | None) -> bool:
    """Whether a ``.json`` begins as an array, or as an object with a column that is wanted: settings of
    programs are JSON as well.

    Args:
        file: is opened.
        name: for messages.
        compression: its last ending.
        columns: that are wanted; None for any.

    Raises:
        ConfigError: a file that may not be read, or is damaged.
    """
    try:
        with file.open("rb") as raw, unpacked(raw, compression) as stream:
            start = stream.read(_BEGINNING)
    except (OSError, *DAMAGED) as error:
        raise unreadable(name, error) from None
    require_content(start, name)
    mark, _, decode = encoding_of(start)
    text = decode(start[len(mark) :], "replace", False)[0]
    found = "|".join(re.escape(json.dumps(one)) for one in columns or ()) or '"[^"]*"'
    return re.match(rf"\s*(\[|\{{.*({found})\s*:)", text, re.DOTALL) is not None


def unreadable(name: str, error: Exception) -> Exception:
    """What to raise for a file that the system, or its compression, does not give.

    A disk or a network that fails may be well again at the next attempt: such an error stays as it is.
    """
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno not in (errno.EACCES, errno.EPERM):
            return error
        return ConfigError(f"{name} cannot be read: {error.strerror}", "let the trainer's user read it")
    return ConfigError(f"{name} is damaged or cut short: {error}", "make or copy it again")
