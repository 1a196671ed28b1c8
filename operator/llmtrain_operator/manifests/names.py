"""Every name and label of a job's children."""

from __future__ import annotations

from llmtrain_api import Job, SetupStage
from llmtrain_api.names import (
    API_VERSION,
    KIND,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_JOB_UID,
    LABEL_MANAGED_BY,
    LABEL_RANK,
    LABEL_STAGE,
    MANAGER,
)

from ..types import Manifest


def pod_name(job: str, attempt: int, rank: int) -> str:
    """``{job}-{attempt}-{rank}``."""
    return f"{job}-{attempt}-{rank}"


def config_name(job: str, attempt: int) -> str:
    """The ConfigMap of one attempt."""
    return f"{job}-{attempt}"


def setup_name(job: str, stage: SetupStage, number: int) -> str:
    """``{job}-{stage}-{number}``: a pod that runs before the gang, and its ConfigMap."""
    return f"{job}-{stage.value}-{number}"


def workload_name(job: str, attempt: int) -> str:
    """``{job}-{attempt}``: what asks another scheduler for room, from that attempt on."""
    return f"{job}-{attempt}"


def pod_group_name(job: str, attempt: int) -> str:
    """What a gang scheduler starts an attempt's pods by."""
    return f"{job}-{attempt}"


def service_name(job: str) -> str:
    """The headless Service that gives rank 0 its DNS name."""
    return f"{job}-master"


def network_policy_name(job: str) -> str:
    """Who may reach the ranks of a job."""
    return f"{job}-gang"


def master_address(job: str, namespace: str, attempt: int) -> str:
    """DNS name of the attempt's rank 0. The cluster's domain comes from the pod's search list."""
    return f"{pod_name(job, attempt, 0)}.{service_name(job)}.{namespace}.svc"


def rendezvous_id(uid: str, attempt: int) -> str:
    """Ranks of different attempts never meet."""
    return f"{uid}-{attempt}"


def job_labels(job: Job) -> dict[str, str]:
    """Labels of every child."""
    return {
        LABEL_MANAGED_BY: MANAGER,
        LABEL_JOB: job.metadata.name,
        LABEL_JOB_UID: job.metadata.uid,
    }


def attempt_labels(job: Job, attempt: int, rank: int | None = None) -> dict[str, str]:
    """Labels of a child that belongs to one attempt, and to one rank of it."""
    labels = {**job_labels(job), LABEL_ATTEMPT: str(attempt)}
    return labels if rank is None else {**labels, LABEL_RANK: str(rank)}


def setup_labels(job: Job, stage: SetupStage) -> dict[str, str]:
    """Labels of what runs before the gang: none of a rank's, or the Service would take it for rank 0."""
    return {**job_labels(job), LABEL_STAGE: stage.value}


def metadata(job: Job, name: str, labels: dict[str, str]) -> Manifest:
    """``metadata`` of a child: it goes when the job goes.

    ``blockOwnerDeletion`` stays false: it would need the right to set finalizers on the job.
    """
    return {
        "name": name,
        "namespace": job.metadata.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": job.metadata.name,
                "uid": job.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }
