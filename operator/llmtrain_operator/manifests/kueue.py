"""The Workload of Kueue that stands for a gang: what Kueue counts, without what only our pods need."""

from __future__ import annotations

from typing import Any

from llmtrain_api import Job, JobSpec

from ..types import Manifest, PlanSettings
from . import names
from .pod import pod

API_VERSION = "kueue.x-k8s.io/v1beta2"
POD_SET = "worker"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
COUNTED = ("nodeSelector", "tolerations", "overhead", "runtimeClassName", "priorityClassName")


def workload(
    job: Job, spec: JobSpec, attempt: int, nodes: int, settings: PlanSettings, *, priority: int, active: bool
) -> Manifest:
    """The Workload that asks for room for the gang of an attempt. It goes with the job.

    Args:
        job: whose gang it is.
        spec: of the job; it names a queue.
        attempt: the first attempt that it is for.
        nodes: pods of the gang.
        settings: what the installation says of pods.
        priority: value of the pods' PriorityClass.
        active: whether Kueue may let it in.
    """
    body = pod(job, spec, attempt, 0, spec.image or settings.trainer_image, settings)
    labels = names.attempt_labels(job, attempt)
    template = {"metadata": {"labels": labels}, "spec": _counted(body["spec"])}
    return {
        "apiVersion": API_VERSION,
        "kind": "Workload",
        "metadata": names.metadata(job, names.workload_name(job.metadata.name, attempt), labels),
        "spec": {
            "queueName": spec.queue_name,
            "priority": priority,
            "active": active,
            "podSets": [{"name": POD_SET, "count": nodes, "template": template}],
        },
    }


def _counted(spec: Manifest) -> Manifest:
    """The parts of a pod's spec that Kueue decides on: no environment, no volumes, no Secrets' names."""
    found: Manifest = {name: spec[name] for name in COUNTED if spec.get(name)}
    for kind in ("initContainers", "containers"):
        if spec.get(kind):
            found[kind] = [_container(one) for one in spec[kind]]
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if required:
        found["affinity"] = {"nodeAffinity": {REQUIRED: required}}
    return {**found, "restartPolicy": "Never"}


def _container(container: Manifest) -> Manifest:
    kept = ("name", "image", "resources", "restartPolicy")
    return {name: container[name] for name in kept if container.get(name)}


def asks_for(found: Any, wanted: Any) -> bool:
    """Whether an object says all that is wanted; what the API server has filled in does not count."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(asks_for(found.get(k), v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(asks_for, found, wanted))
    return bool(found == wanted)
