"""Which files of a folder hold data, in a fixed order, and why the others do not."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ConfigError
from .forms import Form, form_of, refused_form, unreadable

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
        compressed: by gzip.
        size: bytes on the disk.
    """

    path: Path
    name: str
    form: Form
    compressed: bool
    size: int


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


def survey(root: Path) -> Survey:
    """All files below a folder that hold data.

    Hidden names, outputs of jobs and folders with a model are passed over. Links are followed inside of the
    folder only. Markdown beside rows describes them: it is not read then.

    Raises:
        ConfigError: a folder that cannot be listed, or files in a form that holds data and is not read.
    """
    found = _Walk(root.resolve()).run()
    unread = {reason for reason in found.skipped if refused_form(reason)}
    if unread:
        reason = min(unread)
        count = sum(found.skipped[one] for one in unread)
        raise ConfigError(
            f"{count} file(s) hold data in a form that is not read, such as {found.examples[reason]}",
            "convert them to .jsonl or .jsonl.gz, or take them out of the folder",
        )
    if any(file.form in (Form.LINES, Form.JSON) for file in found.files):
        cards = [file for file in found.files if file.form is Form.MARKDOWN]
        for card in cards:
            found.skip(CARD, card.name)
        found.files = [file for file in found.files if file.form is not Form.MARKDOWN]
    found.files.sort(key=lambda file: file.name.split("/"))
    return found


class _Walk:
    """Lists a folder without recursion; real files first, so that no link stands for one of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
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
        if prefix and (reason := _no_dataset({entry.name for entry in entries})):
            self._passed_over[folder] = reason
            self.found.skip(reason, prefix)
            return
        for entry in entries:
            path, name = folder / entry.name, f"{prefix}/{printable(entry.name)}".lstrip("/")
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
        form, compressed, reason = form_of(path, name)
        if form is None:
            return self.found.skip(reason, name)
        self._seen.add(path)
        self.found.files.append(DataFile(path, name, form, compressed, seen.st_size))
        return None


def _listed(folder: Path, name: str) -> os._ScandirIterator[str]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise unreadable(f"the folder {name or folder}", error) from None


def _no_dataset(names: set[str]) -> str | None:
    if names & JOB_FILES:
        return OUTPUT
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return MODEL
    return None


def printable(name: str) -> str:
    """A file's name for messages: it may hold bytes that are no text, and commands to a terminal."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
