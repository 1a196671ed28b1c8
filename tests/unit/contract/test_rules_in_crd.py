"""Where the CRD holds its rules: each at the deepest node that has what it asks for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from llmtrain_api.generate.crd import custom_resource_definition
from llmtrain_api.generate.rules_in_crd import asked_for, node_of, with_rules
from llmtrain_api.schema.base import Rule

FIELD = {"type": "integer"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "always": {"type": "object", "default": {}, "properties": {"a": FIELD, "b": FIELD}},
        "maybe": {"type": "object", "properties": {"c": FIELD, "d": FIELD}},
        "other": {"type": "object", "properties": {"e": FIELD}},
    },
}


def rule(cel: str, field: str, *sections: str) -> Rule:
    return Rule(cel, field, "message", lambda _: None, sections)


def placed(one: Rule) -> tuple[tuple[str, ...], dict[str, str]]:
    """The node that holds a rule, and the rule as the CRD has it."""
    path, node = node_of(one, SCHEMA), with_rules(SCHEMA, [one])
    for name in path:
        node = node["properties"][name]
    [found] = node["x-kubernetes-validations"]
    return path, found


def test_a_rule_over_one_section_is_held_by_it() -> None:
    path, found = placed(rule("self.always.a < self.always.b", ".always.b"))
    assert (path, found["rule"], found["fieldPath"]) == (("always",), "self.a < self.b", ".b")


def test_a_rule_over_a_section_that_may_be_left_out_is_held_by_it_where_it_needs_the_section() -> None:
    path, found = placed(rule("self.maybe.c < self.maybe.d", ".maybe.c", "maybe"))
    assert (path, found["rule"]) == (("maybe",), "self.c < self.d")
    path, _ = placed(rule("has(self.maybe) && self.maybe.c < self.maybe.d", ".maybe.c"))
    assert path == ()


def test_a_section_that_nobody_says_is_needed_holds_nothing_of_others() -> None:
    assert node_of(rule("self.maybe.c < 4", ".maybe.c"), SCHEMA) == ()


def test_a_rule_over_two_sections_holds_where_one_is_left_out() -> None:
    path, found = placed(rule("self.maybe.c < self.other.e", ".maybe.c", "maybe", "other"))
    assert (path, found["fieldPath"]) == ((), ".maybe.c")
    assert found["rule"] == "(self.maybe.c < self.other.e) || !has(self.maybe) || !has(self.other)"


def test_the_field_that_is_told_is_below_the_node() -> None:
    assert node_of(rule("self.always.a < 4", ".name"), SCHEMA) == ()
    path, found = placed(rule("self.always.a < 4", ".always"))
    assert path == ("always",)
    assert "fieldPath" not in found


def test_nodes_that_have_rules_already_keep_them_and_the_schema_is_left_as_it_was() -> None:
    first, second = rule("self.always.a < 4", ".always.a"), rule("self.always.b < 4", ".always.b")
    twice = with_rules(with_rules(SCHEMA, [first]), [second])
    rules = twice["properties"]["always"]["x-kubernetes-validations"]
    assert [one["rule"] for one in rules] == ["self.a < 4", "self.b < 4"]
    assert "x-kubernetes-validations" not in SCHEMA["properties"]["always"]


@pytest.mark.parametrize(
    ("cel", "asked"),
    [
        ("self.name.startsWith('x')", [("name",)]),
        ("'self.name' in self.always.a", [("always", "a")]),
        (r"self.name.matches(r'^self\.b$')", [("name",)]),
        ("[self.always].all(p, p.a == 1)", [("always",)]),
        ("myself.name == self", [()]),
    ],
)
def test_what_an_expression_asks_for(cel: str, asked: list[tuple[str, ...]]) -> None:
    assert asked_for(cel) == asked


def ruled(path: str, node: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    """All rules of a schema, each with the path and the schema of the object that holds it."""
    for one in node.get("x-kubernetes-validations", ()):
        yield path, node, one
    for name, child in node.get("properties", {}).items():
        yield from ruled(f"{path}.{name}", child)
    for inner in ("items", "additionalProperties"):
        if isinstance(node.get(inner), dict):
            yield from ruled(f"{path}[]", node[inner])


def test_no_rule_of_the_crd_sits_higher_than_what_it_asks_for() -> None:
    """The API server pays for the height of each rule on every write, of the status too."""
    [version] = custom_resource_definition()["spec"]["versions"]
    found = list(ruled("", version["schema"]["openAPIV3Schema"]))
    assert len(found) > 100
    for path, node, one in found:
        asked = re.findall(r"\b(?:self|oldSelf)\b((?:\.\w+\b(?!\())*)", re.sub(r"'[^']*'", "", one["rule"]))
        steps = [ask.strip(".").split(".") for ask in asked]
        told = [one["fieldPath"].split(".")[1:]] if "fieldPath" in one else []
        below = {each[0] for each in (*steps, *told)}
        if len(below) > 1 or any(len(each) < 2 for each in steps):
            continue
        child = node["properties"][below.pop()]
        assert "properties" not in child, f"{path}: {one['rule']}"
