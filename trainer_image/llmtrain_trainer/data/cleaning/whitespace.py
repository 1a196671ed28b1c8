"""White space that carries no meaning."""

from __future__ import annotations

import re
from collections import Counter

from llmtrain_api.schema.cleaning import CleaningSpec

from .step import Cleaner, CleaningStep, Settings

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
"""Soft hyphen, and spaces without width. Joiners (U+200C, U+200D) stay: Persian and emoji are spelled with
them."""
_TRAILING = re.compile(r"(?<![ \t])[ \t]++(?=\n|\Z)")
"""Begins where a run begins: of each of its characters it would be tried anew."""
_BLANK_LINES = re.compile(r"\n{4,}")
_LEADING_LINES = re.compile(r"\A\n+")


def _settings(cleaning: CleaningSpec) -> Settings | None:
    return {} if cleaning.whitespace else None


def _plain(text: str, _: Counter[str]) -> str:
    text = _SPACES.sub(" ", _LINE_ENDS.sub("\n", text))
    text = _TRAILING.sub("", _INVISIBLE.sub("", text))
    return _LEADING_LINES.sub("", _BLANK_LINES.sub("\n\n\n", text)).rstrip("\n")


def _cleaner(_: Settings) -> Cleaner:
    return _plain


WHITESPACE = CleaningStep("whitespace", 1, _settings, _cleaner)
