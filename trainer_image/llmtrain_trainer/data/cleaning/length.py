"""Documents that are too short or too long."""

from __future__ import annotations

from collections import Counter

from llmtrain_api.schema.cleaning import CleaningSpec

from .step import Cleaner, CleaningStep, Dropped, Settings


def _settings(cleaning: CleaningSpec) -> Settings | None:
    bounds = {"min": cleaning.min_characters, "max": cleaning.max_characters}
    asked = {name: bound for name, bound in bounds.items() if bound is not None}
    return asked or None


def _cleaner(settings: Settings) -> Cleaner:
    least, most = settings.get("min", 0), settings.get("max")

    def judge(text: str, _: Counter[str]) -> str | Dropped:
        if len(text) < least:
            return Dropped("short")
        return Dropped("long") if most is not None and len(text) > most else text

    return judge


LENGTH = CleaningStep("length", 1, _settings, _cleaner, judges=True)
