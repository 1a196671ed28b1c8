"""Fields of the contract, looked up by path or by name: ``llmtrain explain FIELD``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from llmtrain_api.generate.crd import custom_resource_definition

Schema = dict[str, Any]
BOUNDS = (
    ("minimum", "at least"),
    ("maximum", "at most"),
    ("maxLength", "characters at most"),
    ("maxItems", "items at most"),
)


@cache
def fields() -> dict[str, Schema]:
    """The schema of every field of spec and status by its path; items of a list are ``PATH[]``."""
    [version] = custom_resource_definition()["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]["properties"]
    return dict(_walk("spec", root["spec"])) | dict(_walk("status", root["status"]))


def _walk(path: str, node: Schema) -> Iterator[tuple[str, Schema]]:
    yield path, node
    if "items" in node:
        yield from _walk(f"{path}[]", node["items"])
    for name, child in node.get("properties", {}).items():
        yield from _walk(f"{path}.{name}", child)


def found_by(asked: str) -> list[str]:
    """Paths that are meant: the path itself, else what ends in it, ``spec`` before ``status``."""
    by_lower = {path.lower(): path for path in fields()}
    want = asked.strip(".").lower()
    for whole in (want, f"spec.{want}", f"status.{want}"):
        if whole in by_lower:
            return [by_lower[whole]]
    ends = [path for lower, path in by_lower.items() if lower.endswith(f".{want}")]
    in_spec = [path for path in ends if path.startswith("spec")]
    return in_spec or ends


def names() -> list[str]:
    """What a person may have meant: paths, and the last names of them."""
    return sorted(set(fields()) | {path.rpartition(".")[2] for path in fields()})


def field_lines(path: str) -> list[str]:
    """A field: its type, default, bounds, description, rules, and the fields in it."""
    node = fields()[path]
    told = [f"{path}   {type_of(node)}{_default(node)}"]
    told += [f"  {_about(node)}"] if node.get("description") else []
    told += [f"  one of: {', '.join(map(str, node['enum']))}"] if "enum" in node else []
    told += [f"  {words} {node[key]}" for key, words in BOUNDS if key in node]
    rules = node.get("x-kubernetes-validations", ())
    told += [
        f"  rule: {rule.get('fieldPath', '').lstrip('.')}: {rule['message']}".replace(": : ", ": ")
        for rule in rules
    ]
    inner = node.get("items", node).get("properties", {})
    required = node.get("items", node).get("required", ())
    if inner:
        told += ["", "  fields"]
        wide = max(map(len, inner))
        told += [
            f"    {name.ljust(wide)}  {_kind(child, name in required)}  {_about(child)}".rstrip()
            for name, child in inner.items()
        ]
    return told


def _kind(node: Schema, required: bool) -> str:
    return type_of(node) + (" (required)" if required else _default(node))


def _about(node: Schema) -> str:
    return " ".join(node.get("description", "").split())


def type_of(node: Schema) -> str:
    """The type in a word or two."""
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if node.get("type") == "array":
        return f"list of {type_of(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {type_of(node['additionalProperties'])}"
    return str(node.get("type", "any"))


def _default(node: Schema) -> str:
    if "default" not in node or node.get("type") == "object":
        return ""
    value = node["default"]
    return f" (default {str(value).lower() if isinstance(value, bool) else value})"
