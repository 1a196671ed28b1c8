"""What was read of a source and what was not, as it is told in the log, the data report and the status."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class ReadCounts:
    """Counts of one pass over one source; filled while its documents are read.

    Attributes:
        files: files that were opened.
        bytes_total: of all files that hold data, as they lie on the disk.
        bytes_not_read: of them, those beyond ``maxBytes``.
        files_cut: files of which not all was read.
        replaced: characters that no encoding explains, each now U+FFFD.
        empty: documents without a visible character.
        skipped: files and folders that are not read, by the reason.
        cleaned: documents that each cleaning step dropped.
        changed: documents that each cleaning step changed.
        found: what cleaning found in documents, by its kind.
        changed_documents: documents that any cleaning step changed.
        added: copies of documents with swapped terms.
        holes: documents whose middle is told last, by the order of their parts.
        dialogues: those that were not taken as they are, by what was done with them.
        first_replaced: where the first replaced character stands.
        examples: what is skipped, in words.
    """

    files: int = 0
    bytes_total: int = 0
    bytes_not_read: int = 0
    files_cut: int = 0
    replaced: int = 0
    empty: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    cleaned: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    changed_documents: int = 0
    added: int = 0
    holes: Counter[str] = field(default_factory=Counter)
    dialogues: Counter[str] = field(default_factory=Counter)
    first_replaced: str = ""
    examples: str = ""

    @property
    def bytes_read(self) -> int:
        """Bytes on the disk that became documents."""
        return max(0, self.bytes_total - self.bytes_not_read)

    def add(self, other: ReadCounts) -> None:
        """Count another source too."""
        for one in fields(self):
            mine, others = getattr(self, one.name), getattr(other, one.name)
            if isinstance(mine, Counter):
                mine.update(others)
            elif isinstance(mine, int):
                setattr(self, one.name, mine + others)
        self.first_replaced = self.first_replaced or other.first_replaced

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        # a copy made by `asdict` would take a Counter's pairs for things to count
        return {
            one.name: dict(value) if isinstance(value := getattr(self, one.name), Counter) else value
            for one in fields(self)
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ReadCounts:
        """The counts that `to_json` wrote."""
        values: dict[str, Any] = {
            name: Counter(value) if isinstance(value, dict) else value for name, value in raw.items()
        }
        return cls(**values)

    def report(self) -> dict[str, Any]:
        """For the data report; what did not happen is left out, but for the numbers that all reports have."""
        extra: dict[str, Any] = {
            "filesCut": self.files_cut,
            "emptyDocuments": self.empty,
            "skipped": dict(sorted(self.skipped.items())),
            "droppedByCleaning": dict(sorted(self.cleaned.items())),
            "changedByCleaning": dict(sorted(self.changed.items())),
            "changedDocuments": self.changed_documents,
            "masked": dict(sorted(self.found.items())),
            "addedDocuments": self.added,
            "fillInTheMiddle": dict(sorted(self.holes.items())),
            "dialogues": {name: count for name, count in sorted(self.dialogues.items()) if count},
        }
        return {
            "files": self.files,
            "bytesRead": self.bytes_read,
            "bytesNotRead": self.bytes_not_read,
            "replacedCharacters": self.replaced,
            **{name: value for name, value in extra.items() if value},
        }
