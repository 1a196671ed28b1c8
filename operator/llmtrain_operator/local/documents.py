"""Plain JSON as an API server handles it: copies, merge patches, label selectors."""

from __future__ import annotations

import orjson

from ..kube.api import Object


def copy(value: Object) -> Object:
    """A deep copy of plain JSON."""
    found: Object = orjson.loads(orjson.dumps(value))
    return found


def merged(old: Object, patch: Object | None) -> Object:
    """RFC 7386 JSON merge patch."""
    result = dict(old)
    for key, value in (patch or {}).items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            before = result.get(key)
            result[key] = merged(before if isinstance(before, dict) else {}, value)
        else:
            result[key] = value
    return result


def parse_selector(selector: str) -> dict[str, str]:
    """``a=b,c=d`` as a mapping.

    Raises:
        ValueError: any other kind of selector.
    """
    return dict(_pair(part) for part in selector.split(",") if part)


def _pair(part: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals or key.endswith("!"):
        raise ValueError(f"only KEY=VALUE is understood in a selector, not {part!r}")
    return key, value


def matches(labels: dict[str, str], wanted: dict[str, str]) -> bool:
    """Whether all wanted labels are there."""
    return all(labels.get(key) == value for key, value in wanted.items())
