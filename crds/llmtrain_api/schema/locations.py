"""Where data and results lie: the forms of URIs, and what is wrong with one that has none of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from .base import ApiModel, Rule

_UNPRINTED = "\\x00-\\x1f\\x7f-\\x9f\u2028-\u202e\u2066-\u2069"
"""Control characters, and those that break lines or turn the direction of a text in a log."""
_ANY, _FIRST = f"[^/{_UNPRINTED}]", f"[^/.{_UNPRINTED}]"
VISIBLE_PART = f"{_FIRST}{_ANY}*"
PART = rf"({VISIBLE_PART}|\.{_FIRST}{_ANY}*|\.\.{_ANY}+)"
"""A folder's name in a path: what a file system takes, but no ``.`` and ``..`` (RE2 has no look-around)."""
CLAIM = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
CLAIM_FIX = (
    "the claim {name!r} must be lowercase letters, digits, '-' or '.', beginning and ending with a letter or "
    "digit"
)
BUCKET_FIX = "the bucket {name!r} must be 3 to 63 lowercase letters, digits, '-' or '.'"


HUB_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
"""An owner's or a repository's name on the hub."""


def forms(part: str, *, bucket: bool) -> str:
    """The pattern of a folder's URI.

    Args:
        part: the pattern of each folder's name.
        bucket: whether an object store will do.
    """
    store = rf"|s3://{BUCKET}(/{part})+/?" if bucket else ""
    return rf"pvc://{CLAIM}(/{part})*/?|file://(/{part})+/?{store}"


@dataclass(frozen=True)
class Folder:
    """A URI in its pieces: ``owner`` is the claim or the bucket, and empty for ``file://``."""

    scheme: str
    owner: str
    parts: tuple[str, ...]


def folder(uri: str) -> Folder:
    """The pieces of a URI, right or wrong."""
    scheme, _, rest = uri.partition("://")
    owner, slash, path = rest.partition("/")
    path = path.removesuffix("/")
    return Folder(scheme, owner, tuple(path.split("/")) if slash and path else ())


def mistake(uri: str, *, hidden: bool, bucket: bool) -> str | None:
    """What is wrong with the URI of a folder; None when only its form can be.

    Args:
        uri: what was written.
        hidden: whether a folder's name may begin with a dot.
        bucket: whether an object store will do.
    """
    found = folder(uri)
    if found.scheme not in ("pvc", "file", *(["s3"] if bucket else [])) or "://" not in uri:
        return None
    if found.scheme == "pvc" and not re.fullmatch(CLAIM, found.owner):
        return CLAIM_FIX.format(name=found.owner)
    if found.scheme == "s3" and not re.fullmatch(BUCKET, found.owner):
        return BUCKET_FIX.format(name=found.owner)
    wrong = (_part_mistake(part, hidden) for part in found.parts)
    return next((why for why in wrong if why is not None), None)


def _part_mistake(part: str, hidden: bool) -> str | None:
    if part == "":
        return "a folder's name is empty: write one '/' between two names"
    if part in (".", ".."):
        return f"a folder cannot be named {part!r}: write the path without it"
    odd = next((char for char in part if re.fullmatch(f"[{_UNPRINTED}]", char)), None)
    if odd is not None:
        name = unicodedata.name(odd, "a control character").lower()
        return f"the folder {part!r} has the character U+{ord(odd):04X} ({name}): rename it"
    if part.startswith(".") and not hidden:
        return f"the folder {part!r} is hidden: use a name that does not begin with a dot"
    return None


def matches(
    field: str,
    path: str,
    pattern: str,
    fix: str,
    *,
    optional: bool = False,
    why: Callable[[str], str | None] = lambda _: None,
) -> Rule:
    """A rule that a string has a form, with a message that says the form in words instead of a pattern.

    Args:
        field: the attribute's Python name.
        path: its path in the object, such as ``.uri``.
        pattern: what the whole string must match (RE2, so no look-around).
        fix: what would be right.
        optional: the field may also be unset.
        why: what is wrong with a string that does not match, where more can be said than `fix`.
    """
    compiled = re.compile(pattern)
    cel = f"self{path}.matches(r'^({pattern})$')"
    if optional:
        cel = f"!has(self{path}) || {cel}"

    def broken(model: ApiModel) -> str | None:
        found = getattr(model, field)
        if (optional and found is None) or compiled.fullmatch(found):
            return None
        return f"got {found!r}; {why(found) or fix}"

    return Rule(cel, path, fix, broken)
