"""Documents that repeat themselves, or are hardly text. What is measured has no language.

Bounds are those of Gopher (Rae et al. 2021, "Scaling Language Models", section A.1.1 and table A1), less
those that depend on English (stop words, length of words). They are for documents of 50 words and more, as
there: of a short one each phrase is a large share.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from llmtrain_api.schema.cleaning import CleaningSpec

from .step import Cleaner, CleaningStep, Dropped, Settings
from .words import words

LEAST_WORDS = 50
LEAST_BYTES, COMPRESSED = 1 << 10, 1 << 16
"""Bytes from which compression says something, and the bytes of a document that are tried."""
_BULLETS = ("-", "*", "•", "‣", "◦", "▪", "●", "·")
_ELLIPSES = ("…", "...")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_MULTIPLIER = 0x9E3779B97F4A7C15
_TOP_PHRASES = {2: 1.0, 3: 0.9, 4: 0.8}
"""Words of a phrase, and its part of the bound for two words."""


def measures(text: str) -> Iterator[tuple[str, float]]:
    """What is compared with bounds, by the bound's name; phrases by the ladder of Gopher's bounds."""
    found = words(text)
    between = text.split()
    if max(len(found), len(between)) >= LEAST_WORDS:
        yield from _line_measures(text)
        symbols = text.count("#") + text.count("…") + text.count("...")
        yield "maxSymbols", symbols / max(1, len(found))
        letters = sum(any(sign.isalpha() for sign in word) for word in between)
        yield "minAlphabeticWords", letters / max(1, len(between))
        if len(found) >= LEAST_WORDS:
            yield from phrases(found)
    data = text.encode("utf-8", "surrogatepass")
    if len(data) >= LEAST_BYTES:
        part = data[:COMPRESSED]
        ratio = len(zlib.compress(part, 6)) / len(part)
        yield "minCompressed", ratio
        yield "maxCompressed", ratio


def _line_measures(text: str) -> Iterator[tuple[str, float]]:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [one.strip() for one in _PARAGRAPHS.split(text) if one.strip()]
    for what, parts in (("Line", lines), ("Paragraph", paragraphs)):
        count, characters = repeated(parts)
        yield f"maxRepeated{what}s", count
        yield f"maxRepeated{what}Text", characters
    yield "maxBulletLines", sum(line.startswith(_BULLETS) for line in lines) / max(1, len(lines))
    yield "maxEllipsisLines", sum(line.endswith(_ELLIPSES) for line in lines) / max(1, len(lines))


def repeated(parts: Sequence[str]) -> tuple[float, float]:
    """Share of the parts that came before, and of the characters in them."""
    seen: set[str] = set()
    count = characters = 0
    for part in parts:
        if part in seen:
            count += 1
            characters += len(part)
        seen.add(part)
    return count / max(1, len(parts)), characters / max(1, sum(map(len, parts)))


def phrases(found: Sequence[str]) -> Iterator[tuple[str, float]]:
    """The largest shares of characters in phrases, as they compare to the bounds of the shortest ones.

    Args:
        found: the words of a document.
    """
    import numpy as np

    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(word, len(numbers) + 1) for word in found], np.uint64)
    lengths = np.array([len(word) for word in found], np.int64)
    total, hashes = int(lengths.sum()), _mixed(ids)
    mixed, top = hashes.copy(), 0.0
    for size in range(2, 5):
        hashes = hashes[:-1] * np.uint64(_MULTIPLIER) + mixed[size - 1 :]
        _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        of_phrase = _window_sums(lengths, size)[first]
        share = float(np.where(counts > 1, counts * of_phrase, 0).max(initial=0)) / total
        top = max(top, share / _TOP_PHRASES[size])
    yield "maxTopPhrase", top
    worst = 0.0
    for size in range(5, 11):
        if len(found) < size:
            break
        hashes = hashes[:-1] * np.uint64(_MULTIPLIER) + mixed[size - 1 :]
        worst = max(worst, float(lengths[_covered(hashes, size)].sum()) / total + 0.01 * (size - 5))
    yield "maxRepeatedPhrases", worst if worst > 0.05 else 0.0


def _mixed(ids: Any) -> Any:
    """The finaliser of splitmix64, so that sums of words do not meet by chance."""
    import numpy as np

    value = ids * np.uint64(_MULTIPLIER)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return value ^ (value >> np.uint64(27))


def _window_sums(lengths: Any, size: int) -> Any:
    import numpy as np

    ends = np.concatenate([[0], np.cumsum(lengths)])
    return ends[size:] - ends[:-size]


def _covered(hashes: Any, size: int) -> Any:
    """Which words lie in a phrase that came before."""
    import numpy as np

    _, first = np.unique(hashes, return_index=True)
    again = np.ones(len(hashes), np.int64)
    again[first] = 0
    marks = np.zeros(len(hashes) + size, np.int64)
    marks[:-size] += again
    marks[size:] -= again
    return np.cumsum(marks)[:-1] > 0


def _settings(cleaning: CleaningSpec) -> Settings | None:
    return cleaning.quality.to_json() if cleaning.quality is not None else None


def _cleaner(settings: Settings) -> Cleaner:
    def judge(text: str, _: Counter[str]) -> str | Dropped:
        for name, value in measures(text):
            bound = settings[name]
            if value < bound if name.startswith("min") else value > bound:
                return Dropped(name)
        return text

    return judge


QUALITY = CleaningStep("quality", 1, _settings, _cleaner, judges=True)
