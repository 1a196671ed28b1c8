"""Repairs text that was decoded wrongly, by ftfy."""

from __future__ import annotations

import re
from collections import Counter

from llmtrain_api.schema.cleaning import CleaningSpec

from .step import Cleaner, CleaningStep, Settings

_PLAIN = re.compile(r"[\t\n\r\x20-\x7e]*")


def _settings(cleaning: CleaningSpec) -> Settings | None:
    """Typography stays as it was written: curly quotes, ligatures and wide forms are no mistakes, and
    ``&amp;`` may be meant."""
    if not cleaning.repair_unicode:
        return None
    return {
        "uncurl_quotes": False,
        "fix_latin_ligatures": False,
        "fix_character_width": False,
        "fix_line_breaks": False,
        "unescape_html": False,
        "normalization": "NFC",
    }


def _cleaner(settings: Settings) -> Cleaner:
    import ftfy

    config = ftfy.TextFixerConfig(**settings, explain=False)

    def repair(text: str, _: Counter[str]) -> str:
        return text if _PLAIN.fullmatch(text) else str(ftfy.fix_text(text, config))

    return repair


REPAIR = CleaningStep("repairUnicode", 1, _settings, _cleaner)
