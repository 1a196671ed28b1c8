"""The JSON Schema of a manifest, for editors: what is checked, and what is shown where the mouse rests."""

from __future__ import annotations

from typing import Any

from llmtrain_api import JobSpec
from llmtrain_api.job import MAX_NAME, NAME
from llmtrain_api.names import API_VERSION, KIND

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def manifest_schema() -> dict[str, Any]:
    """The whole; unknown fields are mistakes, as they are to ``llmtrain check``."""
    spec = JobSpec.model_json_schema(by_alias=True)
    definitions = spec.pop("$defs", {})
    for node in (spec, *definitions.values()):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
    text = {"type": "object", "additionalProperties": {"type": "string"}}
    name = {"type": "string", "maxLength": MAX_NAME, "pattern": f"^{NAME.pattern}$"}
    metadata = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": name, "namespace": {"type": "string"}, "labels": text, "annotations": text},
    }
    return {
        "$schema": DIALECT,
        "title": KIND,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": KIND},
            "metadata": metadata,
            "spec": spec,
            "status": {"type": "object"},
        },
        "$defs": definitions,
    }
