"""A worker pod with what the job's ``podTemplate`` adds to it. What the operator needs is never changed."""

from __future__ import annotations

from llmtrain_api import JobSpec
from llmtrain_api.schema.pod_checks import TRAINER

from ..types import Manifest

HARDENED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What every container of a pod is held to."""
PLAIN = ("topologySpreadConstraints", "runtimeClassName", "schedulerName", "hostAliases", "dnsConfig")


def with_template(pod: Manifest, spec: JobSpec) -> Manifest:
    """The pod with its template: lists are joined by name, and the operator's own part wins.

    Args:
        pod: as the operator makes it.
        spec: of the job, whose template keeps the rules of the contract.
    """
    template = spec.pod_template
    if template is None:
        return pod
    meta, own, added = pod["metadata"], pod["spec"], template.spec
    metadata = {
        **meta,
        "labels": {**template.metadata.labels, **meta["labels"]},
        "annotations": {**template.metadata.annotations, **meta["annotations"]},
    }
    containers = added.get("containers", [])
    [trainer] = own["containers"]
    changed: Manifest = {
        **{name: added[name] for name in PLAIN if name in added},
        "securityContext": {**own["securityContext"], **added.get("securityContext", {})},
        "affinity": _affinity(own["affinity"], added.get("affinity", {})),
        "volumes": [*own["volumes"], *added.get("volumes", [])],
        "containers": [
            _trainer(trainer, next((one for one in containers if one["name"] == TRAINER), {})),
            *(_held(one) for one in containers if one["name"] != TRAINER),
        ],
    }
    if first := added.get("initContainers"):
        changed["initContainers"] = [_held(one) for one in first]
    return {**pod, "metadata": metadata, "spec": {**own, **changed}}


def with_placement(pod: Manifest, spec: JobSpec) -> Manifest:
    """A pod of before the gang with what the template says of its nodes and of how it finds others.

    All else of the template is for ranks: volumes, containers, the scheduler, labels.

    Args:
        pod: as the operator makes it.
        spec: of the job.
    """
    template = spec.pod_template
    if template is None:
        return pod
    own, added = pod["spec"], template.spec
    nodes = added.get("affinity", {}).get("nodeAffinity")
    changed: Manifest = {name: added[name] for name in ("hostAliases", "dnsConfig") if name in added}
    if nodes:
        changed["affinity"] = {**own["affinity"], "nodeAffinity": nodes}
    return {**pod, "spec": {**own, **changed}}


def _trainer(own: Manifest, added: Manifest) -> Manifest:
    """The template's checks keep the operator's own names out of these lists."""
    joined: Manifest = {
        name: [*own.get(name, []), *added[name]]
        for name in ("env", "envFrom", "volumeMounts")
        if name in added
    }
    return {**own, **joined}


def _held(container: Manifest) -> Manifest:
    return {**container, "securityContext": {**container.get("securityContext", {}), **HARDENED}}


def _affinity(own: Manifest, added: Manifest) -> Manifest:
    """The job's, and the terms that spread the gang, keep it off nodes or together beside those of the job.

    No term of the operator's is an alternative to another: it has no required ones of nodes.
    """
    joined = dict(added)
    for kind, terms in own.items():
        theirs = added.get(kind, {})
        lists = {name: [*own_terms, *theirs.get(name, [])] for name, own_terms in terms.items()}
        joined[kind] = {**theirs, **lists}
    return joined
