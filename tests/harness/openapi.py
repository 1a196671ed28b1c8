"""What an API server finds wrong with a value, by the structural schema of the CRD."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def mistakes(value: Any, schema: dict[str, Any], path: str = "status") -> list[str]:
    """Every place where the value is not as the schema says; an unknown field is one."""
    kind: str = schema["type"]
    is_bool = isinstance(value, bool)
    of_kind = isinstance(value, TYPES[kind])
    if not of_kind or (is_bool and kind != "boolean"):
        return [f"{path}: {value!r} is no {kind}"]
    found = (
        [f"{path}: {value!r} is not in {schema['enum']}"] if value not in schema.get("enum", [value]) else []
    )
    if kind == "object":
        return found + _object(value, schema, path)
    if kind == "array":
        if len(value) > schema["maxItems"]:
            found.append(f"{path}: {len(value)} items")
        return found + [
            m for n, item in enumerate(value) for m in mistakes(item, schema["items"], f"{path}[{n}]")
        ]
    if kind == "string":
        return found + _string(value, schema, path)
    return found + (_number(value, schema, path) if not is_bool else [])


def _object(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    if (each := schema.get("additionalProperties")) is not None:
        found = [f"{path}: {len(value)} names"] if len(value) > schema["maxProperties"] else []
        return found + [m for name, inner in value.items() for m in mistakes(inner, each, f"{path}.{name}")]
    properties = schema["properties"]
    found = [f"{path}.{name}: missing" for name in schema.get("required", ()) if name not in value]
    found += [f"{path}.{name}: unknown" for name in value if name not in properties]
    return found + [
        m
        for name, inner in value.items()
        if name in properties
        for m in mistakes(inner, properties[name], f"{path}.{name}")
    ]


def _string(value: str, schema: dict[str, Any], path: str) -> list[str]:
    found = []
    if len(value) > schema.get("maxLength", math.inf):
        found.append(f"{path}: {len(value)} characters")
    if schema.get("format") == "date-time":
        datetime.fromisoformat(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        found.append(f"{path}: no UTF-8")
    return found


def _number(value: float, schema: dict[str, Any], path: str) -> list[str]:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if not math.isfinite(value) or not low <= value <= high:
        return [f"{path}: {value} is not between {low} and {high}"]
    if schema["type"] == "integer" and not -(2**63) <= value < 2**63:
        return [f"{path}: {value} has more than 64 bits"]
    return []
