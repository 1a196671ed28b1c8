"""A long text as documents: blocks of whole paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterator

SMALLEST, LARGEST = 4 << 10, 64 << 10
BLOCKS = 256
"""So many documents at least are made of a dataset's text where the size limits allow it: documents are
held out as a whole, and one of twenty of them must be some."""

_BREAKS = (re.compile(r"\n(?:[ \t\r]*\n)+"), re.compile(r"\n"), re.compile(r"\s(?=\S)"))


def block_length(total: int) -> int:
    """Characters of a document at most, for a dataset of so many bytes of text."""
    return min(LARGEST, max(SMALLEST, total // BLOCKS))


def blocks(chunks: Iterator[str], length: int) -> Iterator[str]:
    """Documents of at most so many characters which, one after another, are the text.

    A text that is not longer is one document. A longer one is cut after the last blank line that fits, where
    there is none after the last line, the last word, or in the middle of one.
    """
    buffer = ""
    for chunk in chunks:
        buffer += chunk
        start = 0
        while len(buffer) - start > length:
            end = start + _cut(buffer[start : start + length])
            yield buffer[start:end]
            start = end
        buffer = buffer[start:]
    if buffer:
        yield buffer


def _cut(window: str) -> int:
    for pattern in _BREAKS:
        ends = [found.end() for found in pattern.finditer(window)]
        if ends:
            return ends[-1]
    return len(window)
