"""Personal data give way to placeholders: what has a form, and check digits where there are any.

The order matters: what is longer and has check digits is taken before what could be a part of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from llmtrain_api.schema.cleaning import CleaningSpec, Mask

from .checksums import IBAN_LENGTHS, is_card, is_iban
from .step import Cleaner, CleaningStep, Settings

Span = tuple[int, int]
Finder = Callable[[str], Iterable[Span]]

PLACEHOLDERS = {
    Mask.EMAILS: "[EMAIL]",
    Mask.IBANS: "[IBAN]",
    Mask.CARDS: "[CARD]",
    Mask.IPS: "[IP]",
    Mask.PHONES: "[PHONE]",
}

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w@-])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{1,34}(?![\w:])")
_DIGITS = re.compile(r"[+(]?\d(?:[\s().\-/\u2010-\u2015]{0,3}\d){5,24}")
_AROUND = 16
"""Characters around digits that tell a telephone number from another."""


def _emails(text: str) -> Iterator[Span]:
    return (found.span() for found in _EMAIL.finditer(text)) if "@" in text else iter(())


def _ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        length, end = IBAN_LENGTHS.get(found[0][:2], 0), found.start()
        taken = ""
        while len(taken) < length and end < found.end():
            taken += text[end].strip()
            end += 1
        if is_iban(taken) and not (text[end : end + 1].isalnum()):
            yield found.start(), end


def _cards(text: str) -> Iterator[Span]:
    for found in _CARD.finditer(text):
        if is_card(re.sub("[ -]", "", found[0])):
            yield found.span()


def _ips(text: str) -> Iterator[Span]:
    """Public ones alone: 127.0.0.1 and 192.168.0.1 are nobody's."""
    found = [*_IPV4.finditer(text), *_IPV6.finditer(text)]
    for one in sorted(found, key=lambda match: match.start()):
        shown = one[0].rstrip(":")
        try:
            address = ipaddress.ip_address(shown)
        except ValueError:
            continue
        if address.is_global:
            yield one.start(), one.start() + len(shown)


def _phones(region: str | None) -> Finder:
    from phonenumbers import Leniency, PhoneNumberMatcher

    def find(text: str) -> Iterator[Span]:
        for start, end in _windows(text):
            part = text[start:end]
            for found in PhoneNumberMatcher(part, region, Leniency.VALID, max_tries=len(part)):
                yield start + found.start, start + found.end

    return find


def _windows(text: str) -> Iterator[Span]:
    """Parts of the text that have enough digits for a telephone number; the library is slow, and stops after
    so many that are none."""
    begun: Span | None = None
    for found in _DIGITS.finditer(text):
        start, end = max(0, found.start() - _AROUND), found.end() + _AROUND
        if begun is not None and start <= begun[1]:
            begun = begun[0], end
            continue
        if begun is not None:
            yield begun
        begun = start, end
    if begun is not None:
        yield begun


def _settings(cleaning: CleaningSpec) -> Settings | None:
    if not cleaning.mask:
        return None
    region = {"phoneRegion": cleaning.phone_region} if cleaning.phone_region else {}
    return {"mask": sorted(map(str, cleaning.mask)), **region}


def _cleaner(settings: Settings) -> Cleaner:
    finders: dict[Mask, Callable[[], Finder]] = {
        Mask.EMAILS: lambda: _emails,
        Mask.IBANS: lambda: _ibans,
        Mask.CARDS: lambda: _cards,
        Mask.IPS: lambda: _ips,
        Mask.PHONES: lambda: _phones(settings.get("phoneRegion")),
    }
    asked = [(mask, finders[mask]()) for mask in PLACEHOLDERS if mask in settings["mask"]]

    def masked(text: str, found: Counter[str]) -> str:
        for mask, find in asked:
            spans = list(find(text))
            if spans:
                found[str(mask)] += len(spans)
                text = _replaced(text, spans, PLACEHOLDERS[mask])
        return text

    return masked


def _replaced(text: str, spans: list[Span], placeholder: str) -> str:
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], placeholder]
        at = end
    return "".join([*parts, text[at:]])


MASK = CleaningStep("mask", 1, _settings, _cleaner)
