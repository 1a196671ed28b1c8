"""Who may reach the ranks of a job: its own pods, and whoever collects metrics."""

from __future__ import annotations

from llmtrain_api import Job, JobSpec
from llmtrain_api.names import LABEL_JOB_UID, METRICS_PORT

from ..types import Manifest, PlanSettings
from . import names


def network_policy(job: Job, spec: JobSpec, settings: PlanSettings) -> Manifest:
    """Ingress only: the rendezvous and the collectives know no credentials, so nobody else may speak to them.

    It means something only where the cluster's network plugin enforces NetworkPolicies.
    """
    gang = {"matchLabels": {LABEL_JOB_UID: job.metadata.uid}}
    ingress: list[Manifest] = [{"from": [{"podSelector": gang}]}]
    if settings.metrics_namespace:
        monitoring = {"matchLabels": dict(settings.metrics_namespace)}
        last = METRICS_PORT + max(spec.gpus_per_node, 1) - 1
        ports = [{"protocol": "TCP", "port": METRICS_PORT, "endPort": last}]
        ingress.append({"from": [{"namespaceSelector": monitoring}], "ports": ports})
    name = names.network_policy_name(job.metadata.name)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": names.metadata(job, name, names.job_labels(job)),
        "spec": {"podSelector": gang, "policyTypes": ["Ingress"], "ingress": ingress},
    }
