"""Finds documents that are copies of others, over all sources, before anything is learnt from one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llmtrain_api import JobFile

from ... import log
from ...files import digest_of, read_json, write_json
from ..chat.samples import cleaned_dialogues
from ..cleaning import duplicates_of
from ..cleaning.duplicates import files
from ..cleaning.duplicates.signatures import EXACT, NEAR, write_signatures
from ..documents import cleaned_texts
from ..preparation import Preparation
from ..reading.counts import ReadCounts
from ..reading.reader import Progress
from ..sources import Text
from ..units.plan import Unit
from ..units.pool import make_units

PASS = "duplicates"


@dataclass(frozen=True)
class Signing:
    """What a process is told that makes signatures.

    Attributes:
        job: whose documents they are.
        sources: of text, pinned.
        folder: for the signatures.
        near: whether near copies are looked for.
    """

    job: JobFile
    sources: tuple[Text, ...]
    folder: Path
    near: bool


def find_duplicates(made: Preparation) -> None:
    """Leave where it is written which documents are copies; None where the job drops none."""
    asked = duplicates_of(made.job.spec)
    if asked is None or made.noise:
        made.copies = None
        return
    made.copies = made.folder / PASS if made.whole_rows else made.set_folder
    names = copies_names(made)
    if not files.decided(made.copies, names):
        made.copies.mkdir(parents=True, exist_ok=True)
        similarity = asked.get("similarity")
        near = similarity is not None
        if made.whole_rows:
            _sign_dialogues(made, made.copies, near=near)
        else:
            work = Signing(made.job, tuple(made.sources), made.copies, near)
            units = [unit for units in made.units for unit in units]
            make_units(work, units, made.progress.begin(PASS), doing=(is_signed, sign))
        dropped = files.decide(made.copies, names, similarity)
        log.get().info("found copies of documents", dropped=dropped, **asked)
    if made.job.cache is None:  # another job may be about to read those of a cache
        files.forget_signatures(made.copies, names)


def copies_names(made: Preparation) -> list[str]:
    """Names of what is decided about: units of text, whole sources of dialogues."""
    if made.whole_rows:
        return [dialogues_name(number) for number in range(len(made.sources))]
    return [unit.name for units in made.units for unit in units]


def dialogues_name(source: int) -> str:
    """Name of the dialogues of a source, by its number."""
    return f"{source:02}-dialogues"


def _sign_dialogues(made: Preparation, folder: Path, *, near: bool) -> None:
    progress = made.progress.begin(PASS)
    for number, source in enumerate(made.sources):
        dialogues = cleaned_dialogues(made.job, source, ReadCounts(), progress)
        texts = ("\n\n".join(one.contents) for one in dialogues)
        write_signatures(texts, files.signatures_file(folder, dialogues_name(number)), near=near)


def _record(work: Signing, unit: Unit) -> tuple[Path, str]:
    """The file that says that a unit is signed, and what it must say of what was signed."""
    path = files.signatures_file(work.folder, unit.name).with_suffix(".signed")
    return path, digest_of([unit.source, unit.identity(), work.near])


def is_signed(work: Signing, unit: Unit) -> bool:
    """Whether the signatures of a unit are there, of the same text. The folder's name has all else."""
    path, key = _record(work, unit)
    said, file = read_json(path) or {}, files.signatures_file(work.folder, unit.name)
    kind = NEAR if work.near else EXACT
    size = file.stat().st_size if file.is_file() else -1
    return said.get("key") == key and said.get("documents") == size / kind.itemsize


def sign(work: Signing, unit: Unit, progress: Progress) -> None:
    """Write the signatures of a unit, and then that they are there."""
    texts = cleaned_texts(work.job, work.sources[unit.source], unit, ReadCounts(), progress)
    count = write_signatures(texts, files.signatures_file(work.folder, unit.name), near=work.near)
    path, key = _record(work, unit)
    write_json(path, {"key": key, "documents": count})
