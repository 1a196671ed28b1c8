"""The chart's values, their schema and the operator's flags name the same things: no cluster needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import chartreadme
from llmtrain_api import parse_manifest
from llmtrain_operator.settings import Settings

CHART = Path(__file__).resolve().parents[3] / "helm" / "llm-training-operator"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())


def strange(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    """Values that the schema does not allow, as paths; Helm refuses to install a chart that has one."""
    if schema.get("additionalProperties") is not False:
        return []
    known, found = schema["properties"], []
    for key, value in values.items():
        if key not in known:
            found.append(f"{path}/{key}")
        elif isinstance(value, dict):
            found += strange(value, known[key], f"{path}/{key}")
    return found


def test_the_schema_allows_every_value_of_the_chart() -> None:
    assert strange(VALUES, SCHEMA) == []


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference means."""
    name = schema.get("$ref", "").removeprefix("#/definitions/")
    return resolved(SCHEMA["definitions"][name]) if name else schema


def loose(schema: dict[str, Any], path: str = "") -> list[str]:
    """Places where anything would be taken: of no kind, or an object or a list of anything."""
    schema = resolved(schema)
    if not {"type", "enum", "anyOf"} & set(schema):
        return [path]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    found = []
    if "object" in kinds:
        inner = schema.get("additionalProperties")
        if inner is not False:
            found += loose(inner, f"{path}/*") if isinstance(inner, dict) else [path]
        for name, one in schema.get("properties", {}).items():
            found += loose(one, f"{path}/{name}")
    if "array" in kinds:
        found += loose(schema["items"], f"{path}[]") if "items" in schema else [path]
    return found


def test_the_schema_says_of_every_value_what_it_may_be() -> None:
    # what Helm itself puts there for charts that have this one in them
    assert loose(SCHEMA) == ["/global"]
    assert loose({"type": "object", "properties": {"a": {}, "b": {"type": "array"}}}) == ["", "/a", "/b"]


def test_every_value_of_the_schema_is_in_the_chart() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)


def test_the_readme_of_the_chart_is_generated_and_tells_of_every_value() -> None:
    assert chartreadme.README.read_text() == chartreadme.page(), "make generate"
    told = list(chartreadme.values((CHART / "values.yaml").read_text(), SCHEMA))
    assert [one.path for one in told if not one.about] == []
    assert {"image", "image.digest", "trainer.scratch.request", "resources", "runAsUser"} <= {
        x.path for x in told
    }
    assert "resources.requests" not in {one.path for one in told}, (
        "the schema refers to what is in it: one value"
    )
    assert set(chartreadme.profiles(CHART)) == {path.name for path in (CHART / "profiles").iterdir()}
    assert all(chartreadme.profiles(CHART).values())


def test_a_value_without_a_comment_is_seen() -> None:
    text = "# a\na: 1\nb: 2\n# c\nc:\n  # d\n  d: {x: 1}\n"
    closed = {"properties": {"c": {"additionalProperties": False, "properties": {"d": {}}}}}
    told = [
        (one.path, one.about, one.default)
        for one in chartreadme.values(
            text, closed | {"properties": {"a": {}, "b": {}, **closed["properties"]}}
        )
    ]
    assert told == [("a", "a", "1"), ("b", "", "2"), ("c", "c", None), ("c.d", "d", '{"x": 1}')]


def test_artifact_hub_is_told_of_every_kind_and_of_a_manifest_that_is_right() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    told = {name.removeprefix("artifacthub.io/"): text for name, text in about["annotations"].items()}
    crds = [yaml.safe_load(path.read_text()) for path in sorted((CHART.parents[1] / "crds").glob("*.yaml"))]
    listed = yaml.safe_load(told["crds"])
    assert {(one["name"], one["kind"], one["version"]) for one in listed} == {
        (crd["metadata"]["name"], crd["spec"]["names"]["kind"], version["name"])
        for crd in crds
        for version in crd["spec"]["versions"]
    }
    assert all(one["displayName"] and one["description"] for one in listed)
    [example] = yaml.safe_load(told["crdsExamples"])
    assert parse_manifest(example)[0].name == "helpdesk"
    levels = ("Basic Install", "Seamless Upgrades", "Full Lifecycle", "Deep Insights", "Auto Pilot")
    assert told["operatorCapabilities"] in levels
    assert told["operator"] == "true"


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        ("gracePeriodSeconds", "grace_seconds"),
        ("unreachableSeconds", "unreachable_seconds"),
        ("lostNodeSeconds", "lost_node_seconds"),
    ],
)
def test_a_value_has_the_bounds_of_its_flag(value: str, flag: str) -> None:
    bounds = SCHEMA["properties"]["trainer"]["properties"][value]
    limits = Settings.model_json_schema()["properties"][flag]
    assert (bounds["minimum"], bounds["maximum"]) == (limits["minimum"], limits["maximum"])
    assert VALUES["trainer"][value] == limits["default"]


def test_every_flag_of_the_deployment_is_one_of_the_operator() -> None:
    flags = re.findall(r"- --([a-z-]+)=", (CHART / "templates" / "deployment.yaml").read_text())
    assert flags
    assert set(flags) <= {name.replace("_", "-") for name in Settings.model_fields}
