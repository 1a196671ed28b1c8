"""Answers that a model finds in texts, and how they compare to the known ones: as SQuAD 2.0 has it
(Rajpurkar et al. 2018), from 0 to 100, of all questions.

Texts are compared in lower case, without the signs of ASCII and English articles, by words between blanks; a
question counts by the one of its known answers that is nearest, and one without any is right when nothing is
said. The answer is the likeliest span of at most `LONGEST` tokens in any window of the text. Where the
training data had questions without an answer, it must be likelier than none in all of them.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.loader import Pass
from ..loss import IGNORED

LONGEST = 30
"""Tokens of an answer at most."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = str.maketrans("", "", string.punctuation)
Logits = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""Of a window: how likely each of its tokens begins the answer, and ends it."""


@torch.no_grad()
def told(model: Any, passes: Iterable[Pass]) -> list[Logits]:
    """What a model tells of each window.

    Args:
        model: of an exported folder.
        passes: over the windows, in their order.
    """
    model.eval()
    found: list[Logits] = []
    for inputs, labels in passes:
        outputs = model(**inputs)
        both = [one.double().cpu().numpy() for one in (outputs.start_logits, outputs.end_logits)]
        own = (labels != IGNORED)[:, 0].cpu().tolist()
        found += [(begin, end) for begin, end, is_own in zip(*both, own, strict=True) if is_own]
    return found


def found_answers(
    questions: Sequence[Mapping[str, Any]], windows: Sequence[Logits], *, maybe_none: bool
) -> list[tuple[str, list[str]]]:
    """What is said of each question, and what is right.

    Args:
        questions: as the data folder has them; the last ones may have no windows here, and are left out.
        windows: of all of them, one after another.
        maybe_none: whether a question may have no answer.
    """
    found, first = [], 0
    for question in questions:
        after = first + len(question["windows"])
        if after > len(windows):
            break
        said = _said(question, windows[first:after], maybe_none=maybe_none)
        found.append((said, list(question["answers"])))
        first = after
    return found


def _said(question: Mapping[str, Any], windows: Sequence[Logits], *, maybe_none: bool) -> str:
    pairs = zip(question["windows"], windows, strict=True)
    spans = (span for window, logits in pairs if (span := _likeliest(window, logits)))
    score, begin, end = max(spans, default=(-np.inf, 0, 0))
    none = min(float(start[0] + stop[0]) for start, stop in windows)
    if maybe_none and none >= score:
        return ""
    return str(question["context"])[begin:end].strip()


def _likeliest(window: Mapping[str, Any], logits: Logits) -> tuple[float, int, int] | None:
    """The likeliest span of a window: its score, and its begin and end in the text."""
    offsets = window["offsets"]
    if not offsets:
        return None
    own = slice(window["first"], window["first"] + len(offsets))
    scores = logits[0][own][:, None] + logits[1][own]
    allowed = np.triu(np.ones_like(scores, bool)) & np.tril(np.ones_like(scores, bool), LONGEST - 1)
    begin, end = divmod(int(np.where(allowed, scores, -np.inf).argmax()), len(offsets))
    return float(scores[begin, end]), offsets[begin][0], offsets[end][1]


def of_answers(pairs: Sequence[tuple[str, list[str]]]) -> dict[str, float]:
    """How answers compare.

    Args:
        pairs: see `found_answers`; at least one.
    """
    exact = [max(float(words(said) == words(one)) for one in known) for said, known in _known(pairs)]
    f1 = [max(word_f1(said, one) for one in known) for said, known in _known(pairs)]
    none = [float(not words(known[0])) for _, known in _known(pairs)]
    shares = {"exactMatch": exact, "f1": f1, "noAnswerExactMatch": none}
    return {name: 100 * float(np.mean(found)) for name, found in shares.items()}


def _known(pairs: Sequence[tuple[str, list[str]]]) -> Iterator[tuple[str, list[str]]]:
    """Known answers that are nothing but signs and articles are none."""
    for said, known in pairs:
        yield said, [one for one in known if words(one)] or [""]


def words(text: str) -> list[str]:
    """The words that are compared."""
    return _ARTICLES.sub(" ", text.lower().translate(_SIGNS)).split()


def word_f1(said: str, known: str) -> float:
    """Harmonic mean of precision and recall of words; where either has none, whether both have none."""
    one, other = words(said), words(known)
    if not one or not other:
        return float(one == other)
    common = (Counter(one) & Counter(other)).total()
    return 2 * common / (len(one) + len(other))
