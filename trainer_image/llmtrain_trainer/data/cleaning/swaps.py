"""Copies of documents in which terms are swapped (counterfactual augmentation, Zhao et al. 2018)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llmtrain_api.schema.cleaning import CleaningSpec

NAME, VERSION = "swapTerms", 1

Swap = Callable[[str], str]


def settings(cleaning: CleaningSpec) -> dict[str, Any] | None:
    """What a job asks for; None where it asks for no copies."""
    if not cleaning.swap_terms:
        return None
    return {"terms": [[pair.term, pair.other] for pair in cleaning.swap_terms]}


def swap_of(cleaning: CleaningSpec | None) -> Swap | None:
    """What swaps all terms of a text at once: whole words, in any case, which the other term takes over.

    Returns:
        None where a job asks for no copies.
    """
    if cleaning is None or not cleaning.swap_terms:
        return None
    others: dict[str, str] = {}
    for pair in cleaning.swap_terms:
        others[pair.term.casefold()], others[pair.other.casefold()] = pair.other, pair.term
    longest_first = sorted(others, key=lambda term: (-len(term), term))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def other(found: re.Match[str]) -> str:
        term = others.get(found[0].casefold())
        return found[0] if term is None else _in_case_of(found[0], term)

    return lambda text: pattern.sub(other, text)


def _in_case_of(before: str, after: str) -> str:
    if len(before) > 1 and before.isupper():
        return after.upper()
    return after[0].upper() + after[1:] if before[0].isupper() else after
