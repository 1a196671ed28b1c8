"""Emits the CustomResourceDefinitions of the runtimes: one of a namespace, and one of the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from ..names import (
    CLUSTER_RUNTIME_KIND,
    CLUSTER_RUNTIME_PLURAL,
    GROUP,
    RUNTIME_KIND,
    RUNTIME_PLURAL,
    VERSION,
)
from ..schema.runtime import RuntimeSpec
from .crd import Schema, schema_of, with_object_defaults


@dataclass(frozen=True)
class RuntimeKind:
    """One of the two kinds."""

    kind: str
    plural: str
    short: str
    scope: str
    about: str

    @property
    def crd_name(self) -> str:
        """Name of its CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


RUNTIME_KINDS = (
    RuntimeKind(
        RUNTIME_KIND, RUNTIME_PLURAL, "llmrt", "Namespaced", "Defaults and bounds for jobs of a namespace."
    ),
    RuntimeKind(
        CLUSTER_RUNTIME_KIND,
        CLUSTER_RUNTIME_PLURAL,
        "cllmrt",
        "Cluster",
        "Defaults and bounds for jobs of all namespaces, or of those that it names.",
    ),
)
COLUMNS = (
    ("Image", "string", ".spec.defaults.image", 0),
    ("Max nodes", "integer", ".spec.bounds.maxNodes", 0),
    ("Max GPUs", "integer", ".spec.bounds.maxGpus", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Description", "string", ".spec.description", 1),
)


def runtime_definition(of: RuntimeKind) -> Schema:
    """The CustomResourceDefinition of one of them."""
    spec = with_object_defaults(schema_of(RuntimeSpec))
    root = {
        "type": "object",
        "required": ["spec"],
        "description": of.about,
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
        },
    }
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"priority": priority} if priority else {})}
        for name, kind, path, priority in COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": of.crd_name},
        "spec": {
            "group": GROUP,
            "scope": of.scope,
            "names": {
                "kind": of.kind,
                "listKind": f"{of.kind}List",
                "plural": of.plural,
                "singular": of.kind.lower(),
                "shortNames": [of.short],
                "categories": ["llmtrain"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }
