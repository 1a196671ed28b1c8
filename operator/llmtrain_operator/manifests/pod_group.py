"""The PodGroup of an attempt: what tells a gang scheduler that its pods start together or not at all.

One a flavour of PodGroup, in a table: what the object says, and what of each pod belongs to it.
Fields: Kubernetes 1.37 ``scheduling.k8s.io/v1beta1``, Volcano 1.15 ``scheduling.volcano.sh/v1beta1``,
scheduler-plugins ``scheduling.x-k8s.io/v1alpha1``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from llmtrain_api import Job, JobSpec
from llmtrain_api.schema.quantity import quantity

from ..types import Manifest, PlanSettings, Provider
from . import names

VOLCANO_GROUP = "scheduling.k8s.io/group-name"
COSCHEDULING_GROUP = "scheduling.x-k8s.io/pod-group"


@dataclass(frozen=True)
class Kind:
    """One flavour of PodGroup.

    Attributes:
        resource: key of `kube.api.RESOURCES`.
        api_version: of the object.
        scheduler: name of who schedules the pods, unless their template names another; empty = the cluster's
            own.
        spec: of the object: from the job's spec, how many pods the gang has, and one of them.
        member: fields of a pod that make it one of the group of that name.
    """

    resource: str
    api_version: str
    scheduler: str
    spec: Callable[[JobSpec, int, Manifest], Manifest]
    member: Callable[[str], Manifest]


def kind_of(settings: PlanSettings) -> Kind | None:
    """The PodGroups of this installation; None where gangs have none."""
    return _KINDS.get(settings.provider)


def pod_group(job: Job, spec: JobSpec, attempt: int, pod: Manifest, nodes: int, kind: Kind) -> Manifest:
    """The PodGroup of an attempt.

    Args:
        job: its owner.
        spec: of the job.
        attempt: number of the attempt.
        pod: manifest of one of its pods: they all ask for the same.
        nodes: how many pods the gang has.
        kind: which flavour.
    """
    name = names.pod_group_name(job.metadata.name, attempt)
    return {
        "apiVersion": kind.api_version,
        "kind": "PodGroup",
        "metadata": names.metadata(job, name, names.attempt_labels(job, attempt)),
        "spec": kind.spec(spec, nodes, pod),
    }


def grouped(pod: Manifest, job: Job, attempt: int, settings: PlanSettings) -> Manifest:
    """A pod as one of its attempt's PodGroup; as it is where gangs have none."""
    kind = kind_of(settings)
    if kind is None:
        return pod
    more = kind.member(names.pod_group_name(job.metadata.name, attempt))
    meta, spec = dict(pod["metadata"]), pod["spec"] | more.get("spec", {})
    for part in ("labels", "annotations"):
        if part in more:
            meta[part] = {**meta.get(part, {}), **more[part]}
    if kind.scheduler:
        spec = {"schedulerName": kind.scheduler} | spec
    return {**pod, "metadata": meta, "spec": spec}


def _native(_: JobSpec, nodes: int, pod: Manifest) -> Manifest:
    found: Manifest = {
        "schedulingPolicy": {"gang": {"minCount": nodes}},
        # a rank that is taken away alone would end the others for nothing
        "disruptionMode": {"all": {}},
    }
    return found | _priority(pod)


def _volcano(spec: JobSpec, nodes: int, pod: Manifest) -> Manifest:
    queue = {"queue": spec.queue_name} if spec.queue_name else {}
    return {"minMember": nodes, "minResources": _resources(nodes, pod), **queue, **_priority(pod)}


def _coscheduling(_: JobSpec, nodes: int, pod: Manifest) -> Manifest:
    return {"minMember": nodes, "minResources": _resources(nodes, pod)}


def _priority(pod: Manifest) -> Manifest:
    name = pod["spec"].get("priorityClassName")
    return {"priorityClassName": name} if name else {}


def _resources(nodes: int, pod: Manifest) -> dict[str, str]:
    """What all containers of the gang ask for together, so that a scheduler knows before all pods exist."""
    found: dict[str, Decimal] = {}
    for container in pod["spec"]["containers"]:
        asked = container.get("resources", {})
        for name, amount in {**asked.get("limits", {}), **asked.get("requests", {})}.items():
            found[name] = found.get(name, Decimal(0)) + quantity(str(amount)) * nodes
    return {name: f"{amount.normalize():f}" for name, amount in sorted(found.items())}


_KINDS = {
    Provider.KUBERNETES: Kind(
        "podgroups.scheduling.k8s.io",
        "scheduling.k8s.io/v1beta1",
        "",
        _native,
        lambda name: {"spec": {"schedulingGroup": {"podGroupName": name}}},
    ),
    Provider.VOLCANO: Kind(
        "podgroups.scheduling.volcano.sh",
        "scheduling.volcano.sh/v1beta1",
        "volcano",
        _volcano,
        lambda name: {"annotations": {VOLCANO_GROUP: name}},
    ),
    Provider.COSCHEDULING: Kind(
        "podgroups.scheduling.x-k8s.io",
        "scheduling.x-k8s.io/v1alpha1",
        "scheduler-plugins-scheduler",
        _coscheduling,
        lambda name: {"labels": {COSCHEDULING_GROUP: name}},
    ),
}
