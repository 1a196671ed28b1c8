"""Runtimes: from the API's JSON to what a job keeps of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from llmtrain_api import RuntimeOnRecord
from llmtrain_api.runtimes import InvalidRuntime, on_record
from llmtrain_api.runtimes.manifest import Kind

from ..scheduling.objects import Seen


@dataclass(frozen=True, slots=True)
class RuntimeObject(Seen):
    """One version of a runtime.

    Attributes:
        found: what a job would keep of it; None where it cannot be read.
        mistakes: why not.
        namespaces: whose jobs may name one of the cluster; empty = all.
    """

    found: RuntimeOnRecord | None = None
    mistakes: tuple[str, ...] = ()
    namespaces: frozenset[str] = field(default_factory=frozenset)


def decode_runtime(raw: bytes) -> RuntimeObject | None:
    """A runtime of a namespace or of the cluster; None where the answer is neither."""
    body = orjson.loads(raw)
    meta, spec = body.get("metadata") or {}, body.get("spec") or {}
    if not meta.get("uid") or not isinstance(spec, dict):
        return None
    fields: dict[str, Any] = {
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
        "resource_version": int(meta["resourceVersion"]),
        "deletion_deadline": meta.get("deletionTimestamp"),
    }
    kind: Kind = "LLMTrainingRuntime" if fields["namespace"] else "ClusterLLMTrainingRuntime"
    try:
        found = on_record(kind, meta["name"], meta.get("generation", 0), spec)
    except InvalidRuntime as invalid:
        return RuntimeObject(**fields, mistakes=tuple(invalid.mistakes))
    named = () if fields["namespace"] else spec.get("namespaces") or ()
    return RuntimeObject(**fields, found=found, namespaces=frozenset(named))
