"""What a pod gets of the Secrets that a job names: each as variables under names of its own."""

from __future__ import annotations

from llmtrain_api import JobSpec
from llmtrain_api.names import (
    DATASET_SECRET_PREFIX,
    ENV_REGISTRY_CONFIG,
    MODEL_SECRET_PREFIX,
    PUBLISH_SECRET_PREFIX,
    REGISTRY_CONFIG_KEY,
    tracker_secret_prefix,
)

from ..types import Manifest


def secrets(spec: JobSpec, *, first: bool, only_model: bool) -> Manifest:
    """The part of a container with all keys of its Secrets; empty where it gets none.

    Args:
        spec: of the job.
        first: whether it is node 0's worker, which alone tells trackers and pushes the export.
        only_model: whether it reads nothing but the model.
    """
    wanted = [(MODEL_SECRET_PREFIX, spec.model.secret)]
    if not only_model:
        wanted = [("", spec.output.secret), (DATASET_SECRET_PREFIX, spec.dataset.secret), *wanted]
    if first:
        wanted += [(tracker_secret_prefix(n), one.secret) for n, one in enumerate(spec.telemetry.trackers)]
        if spec.output.publish is not None:
            wanted.append((PUBLISH_SECRET_PREFIX, spec.output.publish.secret))
    found = [
        ({"prefix": prefix} if prefix else {}) | {"secretRef": {"name": name}}
        for prefix, name in wanted
        if name
    ]
    return {"envFrom": found} if found else {}


def registry_config(spec: JobSpec) -> list[Manifest]:
    """Credentials as ``docker login`` writes them: a Secret has them under a key that not every version of
    Kubernetes takes for the name of a variable."""
    publish = spec.output.publish
    if publish is None or publish.oci is None or publish.secret is None:
        return []
    key = {"name": publish.secret, "key": REGISTRY_CONFIG_KEY, "optional": True}
    return [{"name": ENV_REGISTRY_CONFIG, "valueFrom": {"secretKeyRef": key}}]
