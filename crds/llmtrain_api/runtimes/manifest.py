"""A runtime as a person writes it and as the API server holds it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from .. import api_json
from ..errors import explain
from ..names import API_VERSION
from ..schema.base import ApiModel
from ..schema.runtime import RuntimeSpec
from ..schema.status.runtime import RuntimeOnRecord

Kind = Literal["LLMTrainingRuntime", "ClusterLLMTrainingRuntime"]
KINDS: tuple[Kind, ...] = ("LLMTrainingRuntime", "ClusterLLMTrainingRuntime")
MAX_BYTES = 64 << 10
"""Of a spec as JSON: a copy of it is kept with each job."""


class InvalidRuntime(ValueError):
    """A runtime that cannot be used.

    Attributes:
        mistakes: one sentence a mistake, each naming the field and the fix.
    """

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


@dataclass(frozen=True, slots=True)
class Runtime:
    """One runtime.

    Attributes:
        namespace: of an LLMTrainingRuntime; empty for one of the cluster.
        spec: as it was written.
    """

    kind: Kind
    namespace: str
    name: str
    spec: dict[str, Any]


class _Metadata(ApiModel):
    name: str = Field(min_length=1, max_length=253)
    namespace: str = "default"
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class _Manifest(ApiModel):
    api_version: Literal["llmtrain.dev/v1alpha1"]
    kind: Kind
    metadata: _Metadata
    spec: Any = None


def read_runtime(spec: object, *, strict: bool) -> RuntimeSpec:
    """The spec of a runtime as a model.

    Args:
        spec: the parsed YAML or JSON.
        strict: whether an unknown field is a mistake (people) or ignored (the operator, which may be older
            than the object).

    Raises:
        InvalidRuntime: with every mistake found.
    """
    if len(json.dumps(spec, default=str)) > MAX_BYTES:
        raise InvalidRuntime(
            [f"spec: is larger than {MAX_BYTES} bytes; put files into a ConfigMap and mount it"]
        )
    try:
        return api_json.read(RuntimeSpec, spec, unknown=not strict)
    except ValidationError as error:
        raise InvalidRuntime(explain(error)) from None
    except RecursionError:
        raise InvalidRuntime(["spec: is nested too deeply; flatten it"]) from None


def parse_runtime(document: object) -> Runtime:
    """A manifest as a person wrote it, with unknown fields refused.

    Raises:
        InvalidRuntime: with every mistake found.
    """
    if not isinstance(document, dict):
        raise InvalidRuntime(
            [f"the document must be a mapping with apiVersion: {API_VERSION} and kind: {' or '.join(KINDS)}"]
        )
    spec = document.get("spec")
    mistakes: list[str] = []
    try:
        head = api_json.read(_Manifest, {k: v for k, v in document.items() if k not in ("spec", "status")})
    except ValidationError as error:
        head, mistakes = None, explain(error, "")
    try:
        if spec is None:
            raise InvalidRuntime(["spec: is required"])
        read_runtime(spec, strict=True)
    except InvalidRuntime as invalid:
        mistakes += invalid.mistakes
    if head is None or not isinstance(spec, dict) or mistakes:
        raise InvalidRuntime(mistakes)
    namespace = head.metadata.namespace if head.kind == KINDS[0] else ""
    return Runtime(head.kind, namespace, head.metadata.name, spec)


def on_record(kind: Kind, name: str, generation: int, spec: dict[str, Any]) -> RuntimeOnRecord:
    """What a job keeps of its runtime.

    Raises:
        InvalidRuntime: it does not keep the contract.
    """
    read_runtime(spec, strict=False)
    # nulls are fields left out, and a merge patch could not keep them
    kept = _without_nulls(spec)
    text = json.dumps(kept, sort_keys=True)
    return RuntimeOnRecord(
        kind=kind,
        name=name,
        generation=generation,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        spec=kept,
    )


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value
