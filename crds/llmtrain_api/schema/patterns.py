"""Forms of strings that several fields share."""

from __future__ import annotations

import re

from .base import ApiModel, Rule

PVC_URI = r"pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[A-Za-z0-9_][A-Za-z0-9._-]*)*/?"
"""``pvc://CLAIM/FOLDER``: no empty, hidden or ``..`` path component."""
FILE_URI = r"file://(/[A-Za-z0-9_][A-Za-z0-9._-]*)+/?"

S3_URI = r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_][A-Za-z0-9._-]*)+/?"
"""``s3://BUCKET/FOLDER``: a folder is a must, as a whole bucket is seldom one job's."""


def matches(field: str, path: str, pattern: str, fix: str, *, optional: bool = False) -> Rule:
    """A rule that a string has a form, with a message that says the form in words instead of a pattern.

    Args:
        field: the attribute's Python name.
        path: its path in the object, such as ``.uri``.
        pattern: what the whole string must match (RE2, so no look-around).
        fix: what would be right.
        optional: the field may also be unset.
    """
    compiled = re.compile(pattern)
    cel = f"self{path}.matches(r'^({pattern})$')"
    if optional:
        cel = f"!has(self{path}) || {cel}"

    def broken(model: ApiModel) -> str | None:
        found = getattr(model, field)
        unset = optional and found is None
        return None if unset or compiled.fullmatch(str(found)) else f"got {str(found)!r}; {fix}"

    return Rule(cel, path, fix, broken)
