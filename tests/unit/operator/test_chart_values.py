"""The chart's values, their schema and the operator's flags name the same things: no cluster needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

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
