"""Turns validation errors into sentences that name the field and the fix."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_TEMPLATES: dict[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this object; remove it or correct the name",
    "enum": "got {input}; use one of {expected}",
    "literal_error": "got {input}; use {expected}",
    "greater_than_equal": "got {input}; use at least {ge}",
    "greater_than": "got {input}; use more than {gt}",
    "less_than_equal": "got {input}; use at most {le}",
    "less_than": "got {input}; use a number less than {lt}",
    "string_pattern_mismatch": "got {input}; it must match {pattern}",
    "string_too_long": "is longer than {max_length} characters; shorten it",
    "string_too_short": "is empty; give it a value or remove it",
    "too_short": "has {actual_length} items; use at least {min_length}",
    "too_long": "has more items than it may; use at most {max_length}",
    "int_parsing_size": "got {input}; use a smaller whole number",
    "finite_number": "got {input}; use a finite number",
}
_TYPES: dict[str, tuple[str, type[object] | tuple[type[object], ...]]] = {
    "int_type": ("a whole number", int),
    "int_parsing": ("a whole number", int),
    "int_from_float": ("a whole number", int),
    "float_type": ("a number", (int, float)),
    "float_parsing": ("a number", (int, float)),
    "bool_type": ("true or false", bool),
    "bool_parsing": ("true or false", bool),
    "string_type": ("a text", str),
    "list_type": ("a list", list),
    "dict_type": ("a mapping of names and values", dict),
    "model_type": ("a mapping of fields", dict),
}
"""What a field of each type takes, and what YAML would make of it."""
_NOT_OFFERED: dict[tuple[str, object], str] = {
    ("precision", name): f"; {name} is not offered, as no GPU has computed yet what it costs in accuracy"
    for name in ("fp8", "float8")
}
"""Why a value that is known from elsewhere cannot be had, by the field and the value."""
LONGEST_INPUT = 80


def _shown(value: object) -> str:
    """A value as YAML has it: texts in quotes, and true, not True."""
    if not isinstance(value, str):
        with suppress(TypeError, ValueError):
            text = json.dumps(value)
            return text if len(text) <= LONGEST_INPUT else f"{text[:LONGEST_INPUT]}..."
    text = repr(value)
    return text if len(text) <= LONGEST_INPUT else f"{text[:LONGEST_INPUT]}..."


def _wrong_type(kind: str, value: object) -> str:
    """What would be right; the quotes are named where only they are wrong."""
    name, types = _TYPES[kind]
    if types is str:
        return f"got {_shown(value)}; use a text, in quotes"
    bare = None
    if isinstance(value, str):
        with suppress(ValueError):
            bare = json.loads(value)
    only_quotes = isinstance(bare, types) and isinstance(bare, bool) == (types is bool)
    return f"got {_shown(value)}; use {name}{', without quotes' if only_quotes else ''}"


def _path(prefix: str, parts: tuple[Any, ...], field: str = "") -> str:
    """``spec.training.maxSteps`` or ``spec.items[2].name``."""
    path = prefix
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return (path + field).lstrip(".")


def explain(error: ValidationError, prefix: str = "spec") -> list[str]:
    """One sentence a mistake, each beginning with the path of the field.

    Args:
        error: what ``model_validate`` raised.
        prefix: path of the validated model in the object.
    """
    sentences: list[str] = []
    for detail in error.errors(include_url=False):
        sentence = _sentence(detail, prefix)
        if sentence not in sentences:
            sentences.append(sentence)
    return sentences


def _sentence(detail: ErrorDetails, prefix: str) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "rule":
        return f"{_path(prefix, detail['loc'], context['field'])}: {context['message']}"
    path = _path(prefix, detail["loc"]) or "the document"
    if kind in _TYPES:
        return f"{path}: {_wrong_type(kind, detail['input'])}"
    template, value = _TEMPLATES.get(kind), detail["input"]
    said = template.format(**context, input=_shown(value)) if template else detail["msg"]
    known = _NOT_OFFERED.get((path.rpartition(".")[2], value), "") if isinstance(value, str) else ""
    return f"{path}: {said}{known}"
