"""Where, as whom and how urgently worker pods run: the installation's word with the job's on top."""

from __future__ import annotations

from llmtrain_api import Job, JobSpec, Toleration
from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB_UID, SAFE_TO_EVICT
from llmtrain_api.schema.scheduling import TaintEffect

from ..types import Manifest, PlanSettings

LOST_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
ANNOTATIONS = {
    # an evicted rank restarts the whole gang, and a service-mesh sidecar never ends
    SAFE_TO_EVICT: "false",
    "karpenter.sh/do-not-disrupt": "true",
    "sidecar.istio.io/inject": "false",
}


def pod_annotations(spec: JobSpec, settings: PlanSettings) -> dict[str, str]:
    """Annotations of a worker pod."""
    return {**ANNOTATIONS, **settings.worker_defaults.annotations, **spec.annotations}


def scheduling(spec: JobSpec, settings: PlanSettings) -> Manifest:
    """The fields of a pod's spec; what nobody set is not there, so that the cluster's own defaults hold."""
    defaults = settings.worker_defaults
    secrets = [s.name for s in (*defaults.image_pull_secrets, *spec.image_pull_secrets)]
    fields: Manifest = {
        "nodeSelector": {**defaults.node_selector, **spec.node_selector},
        "imagePullSecrets": [{"name": name} for name in dict.fromkeys(secrets)],
        "priorityClassName": spec.priority_class_name or defaults.priority_class_name,
        "serviceAccountName": spec.service_account_name,
    }
    return {name: value for name, value in fields.items() if value} | {
        "tolerations": _tolerations([*defaults.tolerations, *spec.tolerations], settings.unreachable_seconds)
    }


def together(job: Job, spec: JobSpec, attempt: int) -> Manifest:
    """Affinity of the ranks of an attempt to each other: in one domain of the job's topology.

    The first pod of a gang meets a required affinity to its own gang anywhere; the others follow it.
    """
    if spec.topology is None:
        return {}
    own = {LABEL_JOB_UID: job.metadata.uid, LABEL_ATTEMPT: str(attempt)}
    term = {"topologyKey": spec.topology.label, "labelSelector": {"matchLabels": own}}
    if spec.topology.required:
        return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _tolerations(given: list[Toleration], seconds: int) -> list[Manifest]:
    """A node that is gone is noticed soon, unless somebody decided otherwise for it: by default a pod would
    stay on it for five minutes."""
    decided = {t.key for t in given if t.effect in (None, TaintEffect.NO_EXECUTE)}
    own = [
        {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
        for taint in LOST_NODE_TAINTS
        if taint not in decided
    ]
    return own + [t.to_json() for t in given]
