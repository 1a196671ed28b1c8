"""Turns validation errors into sentences that name the field and the fix."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

_TEMPLATES: dict[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this object; remove it or correct the name",
    "enum": "got {input!r}; use one of {expected}",
    "literal_error": "got {input!r}; use {expected}",
    "greater_than_equal": "got {input!r}; use at least {ge}",
    "greater_than": "got {input!r}; use more than {gt}",
    "less_than_equal": "got {input!r}; use at most {le}",
    "string_pattern_mismatch": "got {input!r}; it must match {pattern}",
    "string_too_long": "is longer than {max_length} characters; shorten it",
    "int_parsing": "got {input!r}; use a whole number",
    "int_type": "got {input!r}; use a whole number",
    "int_from_float": "got {input!r}; use a whole number",
    "float_parsing": "got {input!r}; use a number",
    "float_type": "got {input!r}; use a number",
}


def _path(prefix: str, parts: tuple[Any, ...], field: str = "") -> str:
    """``spec.training.maxSteps`` or ``spec.items[2].name``."""
    path = prefix
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{to_camel(str(part))}"
    return (path + field).lstrip(".")


def explain(error: ValidationError, prefix: str = "spec") -> list[str]:
    """One sentence a mistake, each beginning with the path of the field.

    Args:
        error: what ``model_validate`` raised.
        prefix: path of the validated model in the object.
    """
    sentences: list[str] = []
    for detail in error.errors(include_url=False):
        context = {"input": detail["input"], **detail.get("ctx", {})}
        if detail["type"] == "rule":
            sentence = f"{_path(prefix, detail['loc'], context['field'])}: {context['message']}"
        else:
            template = _TEMPLATES.get(detail["type"])
            said = template.format(**context) if template else detail["msg"]
            sentence = f"{_path(prefix, detail['loc'])}: {said}"
        if sentence not in sentences:
            sentences.append(sentence)
    return sentences
