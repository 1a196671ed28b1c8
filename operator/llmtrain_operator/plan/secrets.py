"""Takes obvious secrets out of text that many may read: a status is open to whoever may see the job."""

from __future__ import annotations

import re

MASK = "***"
_NAMED = re.compile(
    r"(?i)([\w.-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|credential)[\w.-]*"
    r"['\"]?\s*[=:]\s*['\"]?)(?!\*\*\*)([^\s'\",;&]{6,})"
)
_HEADER = re.compile(r"(?i)\b(authorization['\"]?\s*[=:]\s*['\"]?)(?:(?:bearer|basic|token)\s+)?[^\s'\",;]+")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}")
_IN_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s/@]+(?=@)")
_KNOWN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}"
    r"|sk-[\w-]{16,}|xox[abprs]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)


def masked(text: str) -> str:
    """The text with passwords, keys and tokens replaced where their form or their name gives them away."""
    text = _HEADER.sub(rf"\g<1>{MASK}", text)
    text = _BEARER.sub(rf"\g<1>{MASK}", text)
    text = _IN_URL.sub(rf"\g<1>{MASK}", text)
    text = _KNOWN.sub(MASK, text)
    return _NAMED.sub(rf"\g<1>{MASK}", text)
