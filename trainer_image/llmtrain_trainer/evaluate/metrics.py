"""How written answers compare to the ones that are known: from 0 to 100, of all pairs.

- BLEU (Papineni et al. 2002) and chrF (Popović 2015) by sacrebleu, with the signature that tells how.
- ROUGE-1, -2 and -L (Lin 2004): F-measure of common words, pairs of words, and of the longest common
  subsequence; mean over the pairs. Words as `cleaning.words` has them, so any script counts; no stems.
- Exact match and F1 of words as SQuAD has them (Rajpurkar et al. 2016): in lower case, without punctuation
  and English articles; mean over the pairs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from llmtrain_api.schema.evaluation import AnswerMetric

from ..data.cleaning.words import words

Pairs = Sequence[tuple[str, str]]
"""What was written, and what is right."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = re.compile(r"[^\w\s]|_")


def measured(pairs: Pairs, asked: Sequence[AnswerMetric]) -> tuple[dict[str, float], list[str]]:
    """The metrics that are asked for, and sacrebleu's signatures.

    Args:
        pairs: at least one.
        asked: which.
    """
    found: dict[str, float] = {}
    signatures = []
    for metric in asked:
        if metric in (AnswerMetric.BLEU, AnswerMetric.CHRF):
            found[str(metric)], signature = _by_sacrebleu(metric, pairs)
            signatures.append(f"{metric}|{signature}")
        else:
            for name, score in _OWN[metric].items():
                found[name] = 100 * sum(score(*pair) for pair in pairs) / len(pairs)
    return found, signatures


def _by_sacrebleu(metric: AnswerMetric, pairs: Pairs) -> tuple[float, str]:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    scorer: Any = BLEU() if metric is AnswerMetric.BLEU else CHRF()
    score = scorer.corpus_score([written for written, _ in pairs], [[right for _, right in pairs]])
    return min(100.0, float(score.score)), str(scorer.get_signature())


def exact_match(written: str, right: str) -> float:
    """1 where both are the same words."""
    return float(_squad_words(written) == _squad_words(right))


def word_f1(written: str, right: str) -> float:
    """Harmonic mean of precision and recall of words; two empty texts are equal."""
    one, other = _squad_words(written), _squad_words(right)
    return _f_measure(Counter(one), Counter(other)) if one or other else 1.0


def rouge_n(written: str, right: str, size: int) -> float:
    """F-measure of common sequences of ``size`` words."""
    return _f_measure(*(Counter(_grams(words(text), size)) for text in (written, right)))


def rouge_l(written: str, right: str) -> float:
    """F-measure of the longest sequence of words that both have in this order, with gaps."""
    one, other = words(written), words(right)
    return _f_of(_longest_common(one, other), len(one), len(other))


def _squad_words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", _SIGNS.sub("", text.lower())).split()


def _grams(found: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(found[at : at + size]) for at in range(len(found) - size + 1)]


def _f_measure(one: Counter[Any], other: Counter[Any]) -> float:
    return _f_of((one & other).total(), one.total(), other.total())


def _f_of(common: int, one: int, other: int) -> float:
    return 2 * common / (one + other) if one and other else 0.0


def _longest_common(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    row = [0] * (len(other) + 1)
    for item in one:
        before = 0
        for at, match in enumerate(other, 1):
            before, row[at] = row[at], before + 1 if item == match else max(row[at], row[at - 1])
    return row[-1]


_OWN: dict[AnswerMetric, dict[str, Callable[[str, str], float]]] = {
    AnswerMetric.EXACT_MATCH: {"exactMatch": exact_match},
    AnswerMetric.F1: {"f1": word_f1},
    AnswerMetric.ROUGE: {
        "rouge1": lambda written, right: rouge_n(written, right, 1),
        "rouge2": lambda written, right: rouge_n(written, right, 2),
        "rougeL": rouge_l,
    },
}
