"""Which node of the CRD's schema holds a rule: the deepest with all that the rule asks for.

The API server runs every rule on each write, of the status too, and for each field that a rule looks up it
copies the schemas of all fields beside that one: down in its section a rule costs a part of what it costs at
``spec``, and nothing where the section is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from ..schema.base import Rule, validations

Schema = dict[str, Any]
Path = tuple[str, ...]

_TEXT = re.compile(r"r?'(?:[^'\\]|\\.)*'")
_ASKED = re.compile(r"(?<![\w.])self\b(?:\.\w+\b(?!\())*")


def with_rules(schema: Schema, rules: Iterable[Rule]) -> Schema:
    """A copy of an object's schema that holds these rules, after those that its nodes have already.

    Args:
        schema: the object's.
        rules: over ``self``, the object.
    """
    out = deepcopy(schema)
    for rule in rules:
        if rule.cel is None:
            continue
        path = node_of(rule, schema)
        node = out
        for name in path:
            node = node["properties"][name]
        node.setdefault("x-kubernetes-validations", []).extend(validations([_seen_from(path, rule)]))
    return out


def node_of(rule: Rule, schema: Schema) -> Path:
    """The deepest object that is there whenever the rule is asked, and has all of the rule's fields.

    Args:
        rule: over the object of that schema.
        schema: the object's.
    """
    holders = [_fields(path, schema)[:-1] for path in asked_for(rule.cel or "")]
    found: list[str] = []
    for steps in zip(*holders, _fields(_steps(rule.field), schema), strict=False):
        [*names] = set(steps)
        if len(names) > 1 or not _is_there(schema, names[0], rule):
            break
        schema = schema["properties"][names[0]]
        if "properties" not in schema:
            break
        found.append(names[0])
    return tuple(found)


def asked_for(cel: str) -> list[Path]:
    """The fields that a CEL expression asks ``self`` for, in its order."""
    return [_steps(found)[1:] for found in _ASKED.findall(_TEXT.sub("''", cel))]


def _seen_from(path: Path, rule: Rule) -> Rule:
    """A rule over an object as one over a node in it; it holds where a section outside is left out."""
    prefix = "".join(f".{name}" for name in path)
    outside = [name for name in rule.sections if path[:1] != (name,)]
    # the section's absence comes last: what fails for want of it is no error where another part is true
    absent = "".join(f" || !has(self.{name})" for name in outside)
    cel = f"({rule.cel}){absent}" if absent else str(rule.cel)
    return replace(
        rule,
        cel=re.sub(rf"(?<![\w.])self{re.escape(prefix)}\b", "self", cel),
        field=rule.field[len(prefix) :],
    )


def _is_there(schema: Schema, name: str, rule: Rule) -> bool:
    child = schema["properties"][name]
    return "default" in child or name in schema.get("required", ()) or name in rule.sections


def _fields(path: Sequence[str], schema: Schema) -> Path:
    """The part of a path that names fields of objects: a method of a text or a list is none."""
    found = []
    for name in path:
        if name not in schema.get("properties", {}):
            break
        found.append(name)
        schema = schema["properties"][name]
    return tuple(found)


def _steps(path: str) -> Path:
    return tuple(path.strip(".").split(".")) if path else ()
