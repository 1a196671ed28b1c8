"""Pairs of texts in two languages: what installed programs say, from their gettext catalogues."""

from __future__ import annotations

import gettext
from collections.abc import Callable
from pathlib import Path

LOCALES = Path("/usr/share/locale")
LONGEST = 40
"""Characters of a text."""
NOT_PLAIN = "%_\n\t\x04|<&{"
"""What marks places and keys in such texts."""


def installed(language: str = "de") -> list[tuple[str, str]]:
    """English texts and their translations, short and plain, each once, in the order of the alphabet."""
    return sorted(messages(language).items())


def messages(language: str, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, str]:
    """Short and plain English messages of programs, and what they are in a language.

    Args:
        language: its code.
        wanted: whether a program's catalogue is read, by its name.
    """
    found: dict[str, str] = {}
    for file in sorted((LOCALES / language / "LC_MESSAGES").glob("*.mo")):
        if not wanted(file.stem):
            continue
        try:
            with file.open("rb") as opened:
                catalogue = gettext.GNUTranslations(opened)._catalog  # type: ignore[attr-defined]
        except (OSError, UnicodeError):
            continue
        found |= {key: text for key, text in catalogue.items() if isinstance(key, str) and plain(key, text)}
    return found


def plain(key: str, text: str) -> bool:
    """Whether a message and its translation are short, and hold nothing that a program fills in."""
    both = key + text
    if key != key.strip() or text != text.strip():
        return False
    return 8 <= len(key) <= LONGEST and 0 < len(text) <= LONGEST and not any(one in both for one in NOT_PLAIN)


ONES = {"red": "rote", "old": "alte", "small": "kleine", "warm": "warme"}
THINGS = {"house": "Haus", "book": "Buch", "car": "Auto", "dress": "Kleid", "child": "Kind"}
DEEDS = {"falls": "fällt", "stays": "bleibt", "turns": "dreht sich", "waits": "wartet"}


def made_up() -> list[tuple[str, str]]:
    """80 pairs for a machine without catalogues."""
    return [
        (f"the {one} {thing} {deed}", f"das {eine} {ding} {tut}")
        for one, eine in ONES.items()
        for thing, ding in THINGS.items()
        for deed, tut in DEEDS.items()
    ]


def pairs(count: int, language: str = "de") -> list[tuple[str, str]]:
    """So many pairs, spread over what there is; the same on one machine each time."""
    there = installed(language)
    found = there if len(there) >= count else made_up()
    return [found[at * len(found) // count] for at in range(count)]
