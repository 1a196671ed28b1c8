"""What a known failure is, and how one is recognised."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..schema.status import FailureClass

LONGEST = 8192
"""Characters of a text that are looked at: it comes from a pod, which may say anything."""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    """A failure that people have had before.

    Attributes:
        name: how status, documents and dashboards call it.
        pattern: regular expression that the text of such a failure matches, whatever the case of its letters.
        hint: what to change, in the words of a manifest or of kubectl.
        failure_class: what follows from it; None where the same text may have causes of several classes.
    """

    name: str
    pattern: str
    hint: str
    failure_class: FailureClass | None = None


def first(table: Iterable[KnownFailure], text: str) -> KnownFailure | None:
    """The first entry that the text matches: a table goes from what is special to what is general.

    Args:
        table: in that order.
        text: as its source wrote it; of a long one, the beginning and the end are looked at.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
    return next((known for known in table if re.search(known.pattern, text, re.IGNORECASE)), None)
