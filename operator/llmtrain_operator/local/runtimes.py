"""The runtime of a job where there is no cluster to ask: the file that has the job may have it too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmtrain_api import InvalidJob, parse_manifest
from llmtrain_api.names import CLUSTER_RUNTIME_KIND, RUNTIME_KIND
from llmtrain_api.runtimes import InvalidRuntime, Runtime, beyond, effective, parse_runtime

from ..kube.api import Object

KINDS = (RUNTIME_KIND, CLUSTER_RUNTIME_KIND)


def apart(documents: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Documents that are no runtimes, and those that are."""
    runtimes = [one for one in documents if isinstance(one, dict) and one.get("kind") in KINDS]
    return [one for one in documents if not any(one is other for other in runtimes)], runtimes


def under_runtime(document: Any, runtimes: Sequence[Any]) -> tuple[Any, str]:
    """The job with the defaults of the runtime that it names, and what is to be told of that.

    Args:
        document: the job's manifest.
        runtimes: manifests of runtimes beside it.

    Raises:
        InvalidJob: a runtime is wrong, or the job is beyond its bounds.
    """
    known = [_read(one) for one in runtimes]
    spec = document.get("spec") if isinstance(document, dict) else None
    name = spec.get("runtime") if isinstance(spec, dict) else None
    if not isinstance(name, str) or not isinstance(spec, dict):
        return document, ""
    namespace = (document.get("metadata") or {}).get("namespace", "default")
    found = next((one for one in known if one.name == name and one.namespace == namespace), None)
    found = found or next((one for one in known if one.name == name and not one.namespace), None)
    if found is None:
        return document, f"runtime {name} is not in this file: its defaults and bounds are not applied here"
    merged: Object = {**document, "spec": effective(spec, found.spec)}
    title = f"{found.kind} {name}"
    if found.spec.get("namespaces") and not found.namespace and namespace not in found.spec["namespaces"]:
        raise InvalidJob(
            [f"spec.runtime: {title} is not for jobs of namespace {namespace} (its spec.namespaces)"]
        )
    if wrong := beyond(spec, parse_manifest(merged)[1], found.spec, title):
        raise InvalidJob(wrong)
    return merged, f"{title}, as in this file: its defaults are applied"


def _read(document: Any) -> Runtime:
    try:
        return parse_runtime(document)
    except InvalidRuntime as invalid:
        name = (document.get("metadata") or {}).get("name", "without a name")
        raise InvalidJob([f"{document.get('kind')} {name}: {one}" for one in invalid.mistakes]) from None
