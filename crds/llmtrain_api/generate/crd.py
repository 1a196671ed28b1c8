"""Emits the CustomResourceDefinition from the models: a structural OpenAPI 3.0 schema with CEL rules."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ..job import MAX_NAME, NAME_MESSAGE
from ..names import API_VERSION, CRD_NAME, GROUP, KIND, PLURAL, SHORT_NAMES, SINGULAR, VERSION
from ..rules import RULES
from ..schema.base import ApiModel
from ..schema.lifecycle import EDITABLE
from ..schema.spec import JobSpec
from ..schema.status import JobStatus
from .rules_in_crd import with_rules

Schema = dict[str, Any]

_DROPPED = ("title", "examples", "discriminator", "readOnly", "deprecated", "$defs")
_VERBATIM = ("default", "enum", "not", "x-kubernetes-validations")
_UNSET = "x-unset"
"""Marks an object that may be unset, until the schema is done: left out, it does not mean its defaults."""

PRINTER_COLUMNS: tuple[tuple[str, str, str, int], ...] = (
    ("Phase", "string", ".status.phase", 0),
    ("Nodes", "string", ".status.workers.summary", 0),
    ("Step", "string", ".status.progress.summary", 0),
    ("Progress", "string", ".status.progress.percentText", 0),
    ("Loss", "string", ".status.progress.lossText", 0),
    ("Tokens/s", "string", ".status.progress.tokensPerSecondText", 0),
    ("ETA", "string", ".status.progress.etaText", 0),
    ("Restarts", "integer", ".status.restarts.total", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Waiting", "string", ".status.waiting.reason", 1),
    ("Position", "integer", ".status.waiting.position", 1),
    ("Checkpoint", "integer", ".status.checkpoint.step", 1),
    ("Failure", "string", ".status.failure.class", 1),
    ("Message", "string", ".status.failure.message", 1),
)

SCALE: Schema = {
    "specReplicasPath": ".spec.nodes",
    "statusReplicasPath": ".status.workers.desired",
    "labelSelectorPath": ".status.selector",
}
"""``kubectl scale``, for jobs with minNodes."""

ROOT_RULES: tuple[Schema, ...] = (
    {
        "rule": (
            f"self.metadata.name.size() <= {MAX_NAME} && "
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
        ),
        "message": NAME_MESSAGE,
    },
)


MANAGER_RULE: Schema = {
    "rule": (
        "has(self.managedBy) ? has(oldSelf.managedBy) && self.managedBy == oldSelf.managedBy "
        ": !has(oldSelf.managedBy)"
    ),
    "message": "managedBy never changes; delete the job and apply it again",
    "fieldPath": ".managedBy",
    "reason": "FieldValueForbidden",
}
"""A job keeps its controller: two could run it, each with pods of its own."""


def unchanged_rule(spec: Schema) -> Schema:
    """The rule that what is trained stays as it is once an attempt has started.

    A write that changes the status cannot change the spec, as the API server takes each from the old object
    where the other is written, and a comparison of specs is dear.

    Args:
        spec: the schema of ``spec``, with its defaults.
    """
    same = [
        _same(name, "default" in child or name in spec["required"])
        for name, child in spec["properties"].items()
        if name not in EDITABLE and name != "nodes"
    ]
    same.append(f"(has(self.spec.minNodes) || {_same('nodes', always=True)})")
    return {
        "rule": "!has(oldSelf.status) || !has(oldSelf.status.attempt) || !has(self.status) || "
        f"self.status != oldSelf.status || ({' && '.join(same)})",
        "message": f"spec cannot change once an attempt has started, but for {', '.join(sorted(EDITABLE))}, "
        "and nodes where there is minNodes; "
        "delete the job and apply it again (output.ifExists: resume goes on from its checkpoint)",
        "fieldPath": ".spec",
        "reason": "FieldValueForbidden",
    }


def _same(name: str, always: bool) -> str:
    """CEL: a field of ``spec`` is as it was; one that is not always there is there or not, as it was."""
    new, old = f"self.spec.{name}", f"oldSelf.spec.{name}"
    if always:
        return f"{new} == {old}"
    return f"(has({new}) ? has({old}) && {new} == {old} : !has({old}))"


def structural(node: Any, definitions: Schema) -> Any:
    """What the API server accepts for what pydantic wrote.

    ``$ref`` is inlined, a union with null loses the null, ``const`` becomes ``enum``, exclusive bounds become
    OpenAPI 3.0's, and keywords it forbids are dropped.

    Raises:
        ValueError: a construct with no structural equivalent (a union of other types).
    """
    if isinstance(node, list):
        return [structural(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rsplit("/", 1)[1]]
        return structural({**target, **{k: v for k, v in node.items() if k != "$ref"}}, definitions)
    out: Schema = {}
    for key, value in node.items():
        out.update(_keyword(key, value, definitions))
    return out


def _keyword(key: str, value: Any, definitions: Schema) -> Schema:
    """What one JSON Schema keyword becomes; nothing where the API server forbids it."""
    if key in _DROPPED or (key == "additionalProperties" and isinstance(value, bool)):
        return {}
    if key == "default" and value is None:
        return {}
    if key == "properties":
        return {key: {name: structural(child, definitions) for name, child in value.items()}}
    if key == "anyOf":
        return _union(value, definitions)
    if key == "const":
        return {"enum": [value]}
    if key in ("exclusiveMinimum", "exclusiveMaximum"):
        return {key.replace("exclusiveM", "m"): value, key: True}
    return {key: value if key in _VERBATIM else structural(value, definitions)}


def _union(options: list[Schema], definitions: Schema) -> Schema:
    real = [o for o in options if o.get("type") != "null"]
    if len(real) == 1:
        only = dict(structural(real[0], definitions))
        return {**only, _UNSET: True} if only.get("type") == "object" else only
    raise ValueError(f"no structural schema for the union {options}")


def with_object_defaults(schema: Schema) -> Schema:
    """A default on objects whose fields all have one, so that leaving the object out means its defaults.

    Written out in full: the API server checks CEL rules against a default as it stands. None on objects that
    must be there: a default would answer for who left them out.
    """
    for name, child in schema.get("properties", {}).items():
        if child.get("type") == "array":
            with_object_defaults(child["items"])
        if child.get("type") == "object" and "properties" in child:
            with_object_defaults(child)
            unset = child.pop(_UNSET, False)
            if not unset and not child.get("required") and name not in schema.get("required", ()):
                fields = child["properties"].items()
                # copies, as YAML writes what is shared as an anchor and its aliases
                child["default"] = deepcopy({key: f["default"] for key, f in fields if "default" in f})
    return schema


def schema_of(model: type[ApiModel]) -> Schema:
    """The structural schema of a model, without a default at its own level."""
    raw = model.model_json_schema(by_alias=True)
    schema: Schema = structural(raw, raw.get("$defs", {}))
    return schema


def without_defaults(node: Any) -> Any:
    """A status is written by the operator only; defaults there would be noise."""
    if isinstance(node, dict):
        return {k: without_defaults(v) for k, v in node.items() if k not in ("default", _UNSET)}
    return [without_defaults(item) for item in node] if isinstance(node, list) else node


def custom_resource_definition() -> Schema:
    """The CustomResourceDefinition of LLMTrainingJob."""
    spec = with_object_defaults(schema_of(JobSpec))
    ruled = with_rules(spec, RULES)
    ruled["x-kubernetes-validations"].append(MANAGER_RULE)
    root: Schema = {
        "type": "object",
        "required": ["spec"],
        "description": f"A training job ({API_VERSION}): a gang of torchrun pods that outlives its failures.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": ruled,
            "status": without_defaults(schema_of(JobStatus)),
        },
        "x-kubernetes-validations": [*ROOT_RULES, unchanged_rule(spec)],
    }
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"priority": priority} if priority else {})}
        for name, kind, path, priority in PRINTER_COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": list(SHORT_NAMES),
                "categories": ["llmtrain"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}, "scale": SCALE},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }
