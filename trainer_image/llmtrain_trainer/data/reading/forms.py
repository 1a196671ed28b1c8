"""How text lies in a file, by its name; only of ``.json`` the beginning is looked at too."""

from __future__ import annotations

import errno
import gzip
import re
import zlib
from enum import StrEnum
from pathlib import Path

from ...errors import ConfigError
from .decoding import encoding_of


class Form(StrEnum):
    """One way in which a file holds documents."""

    TEXT = "text"
    MARKDOWN = "markdown"
    LINES = "lines"
    JSON = "json"


FORMS = {
    ".txt": Form.TEXT,
    ".py": Form.TEXT,
    ".md": Form.MARKDOWN,
    ".jsonl": Form.LINES,
    ".ndjson": Form.LINES,
    ".json": Form.JSON,
}
GZIP = ".gz"
TABLES = (".parquet", ".arrow", ".feather", ".orc", ".avro", ".tfrecord")
PACKED = (".zst", ".xz", ".bz2", ".lz4", ".br")
MAYBE = (".csv", ".tsv", ".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".xlsx", ".db", ".sqlite", ".pkl", ".npy")
NOT_READ = "form that is not read: "
OTHER_JSON = ".json without a text field"
_BEGINNING = 1 << 16
_HAS_TEXT = re.compile(r'\s*(\[|\{.*"text"\s*:)', re.DOTALL)


def form_of(path: Path, name: str) -> tuple[Form | None, bool, str]:
    """The form of a file, whether it is compressed, and without a form the reason why it is skipped."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes[-2:]]
    last = suffixes[-1] if suffixes else ""
    compressed = last == GZIP and len(suffixes) == 2 and suffixes[0] in FORMS
    form = FORMS.get(suffixes[0] if compressed else last)
    if form is None:
        packed = last in PACKED and suffixes[0] in FORMS
        kind = "".join(suffixes) if packed or last == GZIP else last
        return None, False, f"{NOT_READ}{kind[:20] or 'no ending'}"
    if form is Form.JSON and not _holds_rows(path, name, compressed):
        return None, False, OTHER_JSON
    return form, compressed, ""


def refused_form(reason: str) -> bool:
    """Whether files that are skipped for this reason hold nothing but data, so that they must not be."""
    kind = reason.removeprefix(NOT_READ)
    packed = any(kind == form + end for form in FORMS for end in PACKED)
    return reason.startswith(NOT_READ) and (kind in TABLES or packed)


def may_hold_data(reason: str) -> bool:
    """Whether files that are skipped for this reason may be a dataset, or a part of a program as well."""
    kind = reason.removeprefix(NOT_READ)
    return reason.startswith(NOT_READ) and (kind in MAYBE or kind.endswith((GZIP, *PACKED)))


def _holds_rows(path: Path, name: str, compressed: bool) -> bool:
    """Whether it begins as an array, or as an object with a text: settings of programs are JSON as well."""
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            start = file.read(_BEGINNING)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(name, error) from None
    mark, _, decode = encoding_of(start)
    return _HAS_TEXT.match(decode(start[len(mark) :], "replace", False)[0]) is not None


def unreadable(name: str, error: Exception) -> Exception:
    """What to raise for a file that the system, or its compression, does not give.

    A disk or a network that fails may be well again at the next attempt: such an error stays as it is.
    """
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno not in (errno.EACCES, errno.EPERM):
            return error
        return ConfigError(f"{name} cannot be read: {error.strerror}", "let the trainer's user read it")
    return ConfigError(f"{name} is damaged or cut short: {error}", "make or copy it again")
