"""What a card says of the data: what was read, what was not and why. No text of them, and no file's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..markdown import code, location, number, table
from .facts import Facts

CLASSES = 20
"""Classes that a card lists; ``config.json`` has all."""
COUNTS = (
    ("files", "files read"),
    ("bytesRead", "bytes read"),
    ("bytesNotRead", "bytes not read, beyond `maxBytes`"),
    ("filesCut", "files of which not all was read"),
    ("replacedCharacters", "characters that are no text, replaced"),
    ("emptyDocuments", "documents left out: empty"),
    ("changedDocuments", "documents that cleaning changed"),
    ("addedDocuments", "documents that cleaning added"),
)
"""Numbers of the data report's ``read``, and what a card calls them."""
REASONS = (
    ("skipped", "files not read"),
    ("droppedByCleaning", "documents dropped by cleaning"),
    ("changedByCleaning", "documents changed by cleaning"),
    ("masked", "values masked"),
    ("fillInTheMiddle", "training documents with their middle last"),
    ("dialogues", "rows not taken as they are"),
)
"""Counts of it by a reason."""


def section(facts: Facts) -> str:
    """The whole section."""
    report = facts.report
    parts = [
        table(("source", "share", "documents", "held out", "tokens an epoch", "commit"), sources(facts)),
        table(("", ""), ((name, number(count)) for name, count in counts(report.get("read", {})))),
        classes(report.get("classes", {})),
    ]
    return "\n\n".join(part for part in parts if part)


def sources(facts: Facts) -> Iterator[tuple[str, ...]]:
    """A row for each source, and of a mixture one for all."""
    dataset, report = facts.job.spec.dataset, facts.report
    commits, told = report.get("commits", {}), report.get("sources", [])
    total = sum(dataset.weights)
    for at, source in enumerate(dataset.sources):
        mine = told[at] if at < len(told) else report
        share = f"{100 * source.weight / total:.3g} %"
        yield (code(location(source.name)), share, *_sizes(mine), code(commits.get(source.name, "")))
    if told:
        yield ("all", "100 %", *_sizes(report), "")


def _sizes(report: Mapping[str, Any]) -> tuple[str, str, str]:
    documents, tokens = report.get("documents", {}), report.get("tokens", {})
    train, held_out = documents.get("train", 0), documents.get("heldOut", 0)
    return number(train), number(held_out), number(tokens.get("train", 0))


def counts(read: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """What was read and what was not, each with its name; what did not happen is left out."""
    for key, name in COUNTS:
        if read.get(key):
            yield name, read[key]
    for key, name in REASONS:
        for reason, count in sorted(read.get(key, {}).items()):
            yield f"{name}: {code(reason)}", count


def classes(found: Mapping[str, Mapping[str, int]]) -> str:
    """How often each class, or tag, is there."""
    few = list(found.items())[:CLASSES]
    rows = [(code(name), number(of.get("train", 0)), number(of.get("heldOut", 0))) for name, of in few]
    if left := len(found) - len(few):
        rows.append((f"and {left} more", "", ""))
    return table(("class", "training", "held out"), rows)
