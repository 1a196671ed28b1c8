"""Which files of a folder hold data, in a fixed order, and why the others do not."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConfigError
from .decoding import escaped
from .forms import (
    OTHER_JSON,
    ROWS,
    Form,
    Openable,
    holds_rows,
    kind_of_name,
    refused_form,
    unreadable,
)
from .patterns import EVERYTHING, Pattern

JOB_FILES = frozenset({"OWNER", "FENCE"})
"""Files in the output folder of every job."""
HIDDEN = "hidden"
OUTPUT = "output of a job"
MODEL = "model folder"
OUTSIDE = "link that leads outside of the folder"
BROKEN = "link that leads nowhere"
AGAIN = "link to a file that is read anyway"
SPECIAL = "no regular file"
CARD = "markdown beside data files"


@dataclass(frozen=True)
class DataFile:
    """A file whose text is read.

    Attributes:
        path: where it is opened.
        name: relative to the folder, for messages.
        form: how its text lies in it.
        compression: the ending that says it, such as ``.gz``; empty without.
        size: bytes on the disk.
        version: differs once the content does: the time of its last change, or a store's own digest.
    """

    path: Openable
    name: str
    form: Form
    compression: str
    size: int
    version: str = ""


@dataclass
class Survey:
    """What a folder holds.

    Attributes:
        files: in the order in which they are read.
        skipped: files and folders that are not read, by the reason.
        examples: the first of each reason.
    """

    files: list[DataFile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def skip(self, reason: str, name: str) -> None:
        """Count a file or a folder that is not read."""
        self.skipped[reason] += 1
        self.examples.setdefault(reason, name)

    def skipped_text(self) -> str:
        """What is not read, with counts, reasons and an example of each."""
        return ", ".join(
            f"{count} x {reason} (such as {self.examples[reason]})"
            for reason, count in sorted(self.skipped.items())
        )


def survey(root: Path, pattern: Pattern = EVERYTHING, columns: Collection[str] | None = None) -> Survey:
    """All files below a folder that hold data.

    Hidden names, outputs of jobs and folders with a model are passed over. Links are followed inside of the
    folder only. Markdown beside rows describes them: it is not read then.

    Args:
        root: the folder.
        pattern: says which of its files are asked for.
        columns: that rows must have, by which rows of JSON are told from settings; None for any.

    Raises:
        ConfigError: a folder that cannot be listed, or files in a form that holds data and is not read.
    """
    return chosen(_Walk(root.resolve(), pattern, columns).run())


def chosen(found: Survey) -> Survey:
    """What is read of all that was found, in a fixed order.

    Raises:
        ConfigError: files in a form that holds data and is not read.
    """
    unread = {reason for reason in found.skipped if refused_form(reason)}
    if unread:
        reason = min(unread)
        count = sum(found.skipped[one] for one in unread)
        raise ConfigError(
            f"{count} file(s) hold data in a form that is not read, such as {found.examples[reason]}",
            "convert them to .jsonl or .parquet, or take them out of the folder",
        )
    if any(file.form in ROWS for file in found.files):
        cards = [file for file in found.files if file.form is Form.MARKDOWN]
        for card in cards:
            found.skip(CARD, card.name)
        found.files = [file for file in found.files if file.form is not Form.MARKDOWN]
    found.files.sort(key=lambda file: file.name.split("/"))
    return found


def add_file(
    found: Survey, file: Openable, name: str, size: int, columns: Collection[str] | None, version: str
) -> bool:
    """Take a file into a survey where its form is read.

    Returns:
        Whether it is.

    Raises:
        ConfigError: a file that may not be read, or is damaged.
    """
    kind = kind_of_name(name)
    if kind.form is None:
        found.skip(kind.reason, name)
        return False
    if kind.form is Form.JSON and not holds_rows(file, name, kind.compression, columns):
        found.skip(OTHER_JSON, name)
        return False
    found.files.append(DataFile(file, name, kind.form, kind.compression, size, version))
    return True


class _Walk:
    """Lists a folder without recursion; real files first, so that no link stands for one of them."""

    def __init__(self, root: Path, pattern: Pattern, columns: Collection[str] | None) -> None:
        self.root, self._pattern, self._columns = root, pattern, columns
        self.found = Survey()
        self._seen: set[Path] = set()
        self._passed_over: dict[Path, str] = {}
        self._links: list[tuple[Path, str]] = []

    def run(self) -> Survey:
        self._folder(self.root, "")
        while self._links:
            links, self._links = sorted(self._links, key=lambda link: link[1]), []
            for path, name in links:
                self._link(path, name)
        return self.found

    def _folder(self, folder: Path, name: str) -> None:
        waiting = [(folder, name)]
        while waiting:
            at, prefix = waiting.pop()
            if at in self._seen:
                continue
            self._seen.add(at)
            waiting += self._entries(at, prefix)

    def _entries(self, folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
        with _listed(folder, prefix) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        if prefix and (reason := no_dataset({entry.name for entry in entries})):
            self._passed_over[folder] = reason
            self.found.skip(reason, prefix)
            return
        for entry in entries:
            path, name = folder / entry.name, f"{prefix}/{printable(entry.name)}".lstrip("/")
            if not self._pattern.leads_to(name):
                continue
            if entry.name.startswith(".") or entry.name == "lost+found":
                self.found.skip(HIDDEN, name)
            elif entry.is_symlink():
                self._links.append((path, name))
            elif entry.is_dir():
                yield path, name
            else:
                self._file(path, name)

    def _link(self, path: Path, name: str) -> None:
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):  # a loop is one or the other
            return self.found.skip(BROKEN, name)
        if not real.is_relative_to(self.root):
            return self.found.skip(OUTSIDE, name)
        above = (self._passed_over.get(folder) for folder in (real, *real.parents))
        reason = next(filter(None, above), AGAIN if real in self._seen else None)
        if reason:
            return self.found.skip(reason, name)
        return self._folder(real, name) if real.is_dir() else self._file(real, name)

    def _file(self, path: Path, name: str) -> None:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            return self.found.skip(SPECIAL, name)
        changed = str(seen.st_mtime_ns)
        if self._pattern.matches(name) and add_file(
            self.found, path, name, seen.st_size, self._columns, changed
        ):
            self._seen.add(path)
        return None


def _listed(folder: Path, name: str) -> os._ScandirIterator[str]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise unreadable(f"the folder {name or folder}", error) from None


def no_dataset(names: set[str]) -> str | None:
    """Why a folder with files of these names is no dataset; None where it may be one."""
    if names & JOB_FILES:
        return OUTPUT
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return MODEL
    return None


def printable(name: str) -> str:
    """A file's name for messages: it may hold bytes that are no text, and commands to a terminal."""
    return escaped(os.fsencode(name).decode("utf-8", "replace"))
