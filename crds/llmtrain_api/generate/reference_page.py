"""``docs/reference.md``: every field of spec and status, with its default, its bounds and its rules."""

from __future__ import annotations

from typing import Any

from ..names import API_VERSION, KIND
from .crd import custom_resource_definition
from .runtime_crd import RUNTIME_KINDS, runtime_definition

Schema = dict[str, Any]

_HEAD = f"""# Reference: {KIND} ({API_VERSION})

Generated from `crds/llmtrain_api` by `make generate`.
The same is told by `kubectl explain llmjob.spec --recursive`.
"""
_BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxLength", "at most {} characters"),
    ("maxProperties", "at most {} entries"),
)


_RUNTIMES = f"""# Runtimes: {" and ".join(of.kind for of in RUNTIME_KINDS)}

What a platform team gives to jobs and how far they may go (runtimes.md). Both kinds have the same `spec`.
"""


def page() -> str:
    """The whole page."""
    [version] = custom_resource_definition()["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]["properties"]
    job = [_HEAD, *_section("spec", root["spec"]), *_section("status", root["status"])]
    [version] = runtime_definition(RUNTIME_KINDS[0])["spec"]["versions"]
    runtime = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return "\n".join([*job, _RUNTIMES, *_section("runtime spec", runtime)])


def _section(path: str, node: Schema) -> list[str]:
    """An object's table and rules, then those of the objects in it."""
    fields: dict[str, Schema] = node["properties"]
    required = node.get("required", ())
    lines = [f"## {path}", "", _text(node.get("description", "")), ""]
    lines += ["| field | type | default | |", "|---|---|---|---|"]
    for name, child in fields.items():
        default = "required" if name in required else _default(child)
        lines.append(f"| `{name}` | {_type(child)} | {default} | {_about(child)} |")
    lines.append("")
    if rules := _rules(path, node):
        lines += ["Rules:", "", *rules, ""]
    for name, child in fields.items():
        if "properties" in child:
            lines += _section(f"{path}.{name}", child)
        elif "properties" in child.get("items", {}):
            lines += _section(f"{path}.{name}[]", child["items"])
    return lines


def _rules(path: str, node: Schema) -> list[str]:
    """The rules of an object and of those of its fields that are no objects with fields themselves."""
    own = node.get("x-kubernetes-validations", ())
    lines = [f"- `{path}{rule.get('fieldPath', '')}`: {_text(rule['message'])}" for rule in own]
    for name, child in node["properties"].items():
        rules = () if "properties" in child else child.get("x-kubernetes-validations", ())
        lines += [f"- `{path}.{name}`: {_text(rule['message'])}" for rule in rules]
    return lines


def _type(node: Schema) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "integer or string"
    kind = str(node.get("format", node.get("type", "any")))
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if kind == "array":
        return f"list of {_type(node['items'])}"
    return f"`{'`, `'.join(str(one) for one in node['enum'])}`" if "enum" in node else kind


def _default(node: Schema) -> str:
    if "default" not in node or node.get("type") == "object":
        return ""
    value = node["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _about(node: Schema) -> str:
    """Its description and its bounds."""
    bounds = [
        words.format(node[key])
        for key, words in _BOUNDS
        if node.get(key) or (key in node and key == "minimum")
    ]
    if node.get("exclusiveMinimum"):
        bounds = [one.replace("at least", "more than") for one in bounds]
    return " ".join(
        part
        for part in (_text(node.get("description", "")), f"({', '.join(bounds)})" if bounds else "")
        if part
    )


def _text(text: str) -> str:
    """A text that may stand in a table."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
