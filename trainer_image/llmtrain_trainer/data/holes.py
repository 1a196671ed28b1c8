"""Training documents whose middle is told last, so that a model learns to fill in (Bavarian et al. 2022).

A document is cut at two places, and told as prefix, suffix, middle (PSM) or suffix, prefix, middle (SPM, in
the form that also begins with the prefix' token, so that both share what is learnt). Where it is cut follows
from its text and ``training.seed`` alone: processes, order and restarts make no difference.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from llmtrain_api import JobSpec

VERSION = 1
"""Raised where the same settings would cut the same text elsewhere, or tell it in another way."""
PSM, SPM = "prefixSuffixMiddle", "suffixPrefixMiddle"
_WORD = 8
"""Bytes of a random number."""


@dataclass(frozen=True, slots=True)
class Parts:
    """A document that is cut at two places."""

    prefix: str
    middle: str
    suffix: str
    suffix_first: bool


@dataclass(frozen=True)
class Holes:
    """Which documents are cut, and where.

    Attributes:
        rate: share of documents that are.
        spm_share: of these, the share whose suffix comes first.
        seed: of the draws.
    """

    rate: float
    spm_share: float
    seed: int

    @classmethod
    def of(cls, spec: JobSpec) -> Holes | None:
        """What a job asks for; None where it asks for none."""
        asked = spec.dataset.fill_in_the_middle
        return None if asked is None else cls(asked.rate, asked.spm_share, spec.training.seed)

    def parts(self, text: str) -> Parts | None:
        """A document in parts; None where it stays whole. Any two places, the ends too, are as likely."""
        digest = hashlib.blake2b(text.encode(), digest_size=4 * _WORD, key=str(self.seed).encode()).digest()
        cut, first, *at = (
            int.from_bytes(digest[n : n + _WORD], "big") / 2 ** (8 * _WORD)
            for n in range(0, len(digest), _WORD)
        )
        if cut >= self.rate:
            return None
        start, end = sorted(min(len(text), int(place * (len(text) + 1))) for place in at)
        return Parts(text[:start], text[start:end], text[end:], first < self.spm_share)


def key_of(spec: JobSpec) -> dict[str, Any] | None:
    """All that holes depend on besides the text; None where a job asks for none."""
    holes = Holes.of(spec)
    if holes is None:
        return None
    return {"rate": holes.rate, "spmShare": holes.spm_share, "seed": holes.seed, "version": VERSION}
