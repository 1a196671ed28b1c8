"""The JSON Schema of a manifest, for editors: what is checked, and what is shown where the mouse rests."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from llmtrain_api import JobSpec
from llmtrain_api.job import MAX_NAME, NAME
from llmtrain_api.names import API_VERSION, CLUSTER_RUNTIME_KIND, KIND, RUNTIME_KIND, SWEEP_KIND
from llmtrain_api.schema.base import ApiModel
from llmtrain_api.schema.runtime import RuntimeSpec
from llmtrain_api.schema.sweep import SweepSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SPECS: dict[str, type[ApiModel]] = {
    KIND: JobSpec,
    SWEEP_KIND: SweepSpec,
    RUNTIME_KIND: RuntimeSpec,
    CLUSTER_RUNTIME_KIND: RuntimeSpec,
}
"""What may be written in a manifest's `spec`, by its kind."""
FOLDER = Path(__file__).resolve().parents[3] / "crds" / "schema"
"""Of a checkout: where the comment at the top of each example points an editor to."""


def file_name(kind: str) -> str:
    """Of the schema of a kind."""
    return f"{kind.lower()}.schema.json"


def manifest_schema(kind: str = KIND) -> dict[str, Any]:
    """The whole; unknown fields are mistakes, as they are to ``llmtrain check``.

    Args:
        kind: one of `SPECS`.
    """
    spec = SPECS[kind].model_json_schema(by_alias=True)
    definitions = spec.pop("$defs", {})
    if kind == SWEEP_KIND:
        job = JobSpec.model_json_schema(by_alias=True)
        definitions |= job.pop("$defs", {})
        # what is missing there may be a parameter
        spec["properties"]["job"] = job | {"required": []}
    for node in (spec, *spec["properties"].values(), *definitions.values()):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
    text = {"type": "object", "additionalProperties": {"type": "string"}}
    name: dict[str, Any] = {"type": "string"}
    if kind == KIND:
        name |= {"maxLength": MAX_NAME, "pattern": f"^{NAME.pattern}$"}
    metadata = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": name, "namespace": {"type": "string"}, "labels": text, "annotations": text},
    }
    return {
        "$schema": DIALECT,
        "title": kind,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": _untitled(spec),
            "status": {"type": "object"},
        },
        "$defs": _untitled(definitions),
    }


def _untitled(node: Any) -> Any:
    """Without the titles that are the names once more, which an editor would show above each description."""
    if isinstance(node, list):
        return [_untitled(one) for one in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _untitled(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


def in_text(kind: str) -> str:
    """A schema as it lies in a file."""
    return json.dumps(manifest_schema(kind), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for kind in SPECS:
        (FOLDER / file_name(kind)).write_text(in_text(kind))
    print(f"schemas: {len(SPECS)}", file=sys.stderr)
