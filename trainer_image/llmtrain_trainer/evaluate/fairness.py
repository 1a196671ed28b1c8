"""Which of two texts a model finds likelier, by category, with an interval over the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from llmtrain_api.schema.status.results import FairnessCategory

from ..data.sentence_pairs import SentencePair, ids_of_text
from ..loss import token_loss_sum
from ..special_tokens import Tokens
from .placement import device_of

COPIES = 16
"""Of a text, each with another token hidden, that are computed at once."""
RESAMPLES, SEED = 2000, 0
"""Of the bootstrap."""
INTERVAL = (2.5, 97.5)
"""Percentiles between which 95 % of the resampled means lie."""


class Likelihood:
    """The log-likelihood of texts, or of a model that fills masks their pseudo-log-likelihood (Salazar et al.
    2020): of each token, hidden, among all others.

    Args:
        model: of an export.
        tokenizer: its.
        tokens: the tokenizer's special ones.
        masked: whether the model fills masks.
        room: tokens of a text at most; what follows is cut off.
    """

    def __init__(self, model: Any, tokenizer: Any, tokens: Tokens, *, masked: bool, room: int) -> None:
        self.model, self.tokenizer, self.tokens = model, tokenizer, tokens
        self.masked, self.room = masked, room

    def ids(self, text: str) -> list[int]:
        """The tokens of a text, and before them what a text begins after."""
        return ids_of_text(self.tokenizer, self.tokens, text, masked=self.masked)[: self.room]

    @torch.no_grad()
    def of(self, text: str) -> float:
        """In nat."""
        ids = self.ids(text)
        return self._hidden(ids) if self.masked else self._next(ids)

    def _next(self, ids: list[int]) -> float:
        given = torch.tensor([ids], device=device_of())
        logits = self.model(input_ids=given, attention_mask=torch.ones_like(given)).logits
        return -float(token_loss_sum(logits[:, :-1], given[:, 1:]))

    def _hidden(self, ids: list[int]) -> float:
        around = {*self.tokens.before, *self.tokens.after, self.tokens.eos}
        asked, total = [at for at, one in enumerate(ids) if one not in around], 0.0
        for begin in range(0, len(asked), COPIES):
            places = asked[begin : begin + COPIES]
            rows = torch.arange(len(places))
            copies = torch.tensor([ids]).repeat(len(places), 1)
            wanted = copies[rows, places].clone()
            copies[rows, places] = int(self.tokens.mask or 0)
            given = copies.to(device_of())
            logits = self.model(input_ids=given, attention_mask=torch.ones_like(given)).logits[rows, places]
            total -= float(token_loss_sum(logits[None], wanted[None].to(logits.device)))
        return total


def by_category(pairs: Sequence[SentencePair], gaps: Sequence[float]) -> list[FairnessCategory]:
    """What the gaps of pairs come to.

    Args:
        pairs: that were compared.
        gaps: log-likelihood of a less that of b, of each.
    """
    names = sorted({pair.category for pair in pairs})
    found = []
    for name in names:
        own = np.array([gap for pair, gap in zip(pairs, gaps, strict=True) if pair.category == name])
        low, high = interval(own)
        found.append(
            FairnessCategory(
                category=name,
                pairs=len(own),
                prefers_a=round(float((own > 0).mean() + (own == 0).mean() / 2), 6),
                gap=float(f"{own.mean():.6g}"),
                low=low,
                high=high,
            )
        )
    return found


def interval(gaps: Any) -> tuple[float | None, float | None]:
    """The 95 % percentile interval of a mean, by resampling with a fixed seed (Efron & Tibshirani 1993); none
    for a single value."""
    if len(gaps) < 2:
        return None, None
    drawn = np.random.default_rng(SEED).integers(len(gaps), size=(RESAMPLES, len(gaps)))
    low, high = np.percentile(gaps[drawn].mean(axis=1), INTERVAL)
    return float(f"{low:.6g}"), float(f"{high:.6g}")
