"""What whoever has no model writes of a source, compared as what a model writes is: the source itself, for
BLEU, chrF, exact match and F1; its first words, as many as a right text has, for ROUGE."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from llmtrain_api.schema.evaluation import AnswerMetric
from llmtrain_api.schema.status.answers import COPIED, LEAD

from ..data.cleaning.words import words
from .metrics import measured


def copied_and_lead(
    sources: Sequence[str], rights: Sequence[str], asked: Sequence[AnswerMetric]
) -> dict[str, float]:
    """The figures of both, by their names in the results.

    Args:
        sources: at least one.
        rights: what is right, of each.
        asked: metrics.
    """
    copied, _ = measured(
        list(zip(sources, rights, strict=True)), [one for one in asked if one is not AnswerMetric.ROUGE]
    )
    found = _named(COPIED, copied)
    if AnswerMetric.ROUGE in asked:
        many = lead_words(rights)
        begins = [" ".join(words(source)[:many]) for source in sources]
        lead, _ = measured(list(zip(begins, rights, strict=True)), [AnswerMetric.ROUGE])
        found |= _named(LEAD, {"words": many, **lead})
    return found


def lead_words(rights: Sequence[str]) -> int:
    """As many words as texts have, their median, and one at least."""
    return max(1, round(median(len(words(right)) for right in rights)))


def _named(begin: str, scores: dict[str, float]) -> dict[str, float]:
    return {f"{begin}{name[0].upper()}{name[1:]}": score for name, score in scores.items()}
