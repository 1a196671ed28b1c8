"""Emits the CustomResourceDefinition of LLMTrainingSweep."""

from __future__ import annotations

from ..names import GROUP, SWEEP_KIND, SWEEP_PLURAL, VERSION
from ..schema.status.sweep import SweepStatus
from ..schema.sweep import SweepSpec
from .crd import Schema, schema_of, with_object_defaults, without_defaults

COLUMNS = (
    ("Phase", "string", ".status.phase", 0),
    ("Trials", "string", ".status.summary", 0),
    ("Best", "string", ".status.best.job", 0),
    ("Value", "string", ".status.best.valueText", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Message", "string", ".status.message", 1),
)


def sweep_definition() -> Schema:
    """The CustomResourceDefinition."""
    root = {
        "type": "object",
        "required": ["spec"],
        "description": "One LLMTrainingJob with other values in some of its fields, or with many datasets.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": with_object_defaults(schema_of(SweepSpec)),
            "status": without_defaults(schema_of(SweepStatus)),
        },
    }
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"priority": priority} if priority else {})}
        for name, kind, path, priority in COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{SWEEP_PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": SWEEP_KIND,
                "listKind": f"{SWEEP_KIND}List",
                "plural": SWEEP_PLURAL,
                "singular": SWEEP_KIND.lower(),
                "shortNames": ["llmsweep"],
                "categories": ["llmtrain"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }
