"""Examples as they are but for a few steps, with small data beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from harness.corpora.entry import Entry
from harness.corpora.table import ENTRIES
from harness.corpora.texts import spread
from harness.pairs import write
from harness.prompts import prompts

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STEPS, ROWS = 3, 400
STDLIB = "builtin://python-stdlib"


def example(name: str) -> dict[str, Any]:
    """A manifest."""
    found: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())
    return found


@dataclass(frozen=True)
class ShortExample:
    """An example, and what it needs to run.

    Attributes:
        name: of its file.
        write: puts its data into the folder that it names.
        model: in the place of one that would have to be fetched; None where it is built in.
    """

    name: str
    write: Callable[[Path], object]
    model: dict[str, Any] | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        """What is run."""
        found = example(self.name)
        spec = found["spec"]
        spec["training"].pop("epochs", None)
        spec["training"]["maxSteps"] = STEPS
        if not spec["model"]["name"].startswith("builtin://"):
            spec["model"] = self.model
        return found

    def put_data(self, claims: Path) -> None:
        """Write what the manifest reads.

        Args:
            claims: the folder of all claims, by their names.

        Raises:
            NoCorpus: the machine has no such text.
        """
        name: str = example(self.name)["spec"]["dataset"]["name"]
        if name != STDLIB:
            self.write(claims / name.removeprefix("pvc://"))


def of_gallery(entry: Entry) -> ShortExample:
    """The example of an entry, on some of its text."""
    return ShortExample(entry.example, partial(_write_rows, entry), entry.model)


def _write_rows(entry: Entry, folder: Path) -> None:
    write(folder, spread(entry.rows(), ROWS))
    if entry.files:
        entry.files(folder)


def _write_prompts(folder: Path) -> None:
    write(folder, prompts(200))


GALLERY = tuple(of_gallery(entry) for entry in ENTRIES)
REINFORCEMENT = ShortExample("reinforcement", _write_prompts)
TASKS = (*GALLERY, REINFORCEMENT)
"""One or more of each task."""
