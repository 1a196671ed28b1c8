"""The pod of one rank of one attempt. Passes Pod Security ``restricted``."""

from __future__ import annotations

from llmtrain_api import Job, JobSpec
from llmtrain_api.names import (
    CONFIG_DIR,
    DATASET_SECRET_PREFIX,
    ENV_HOLDER,
    ENV_JOB_FILE,
    ENV_NODE_RANK,
    JOB_FILE,
    LABEL_JOB_UID,
    METRICS_PORT,
    OUTPUT_MOUNT,
    SCRATCH_MOUNT,
    TOKEN_AUDIENCE,
    TOKEN_DIR,
)
from llmtrain_api.schema.quantity import canonical

from ..types import Manifest, PlanSettings
from . import names
from .scheduling import pod_annotations, scheduling
from .volumes import output_location, text_claims

CONTAINER = "trainer"
USER_ID = 1000
TOKEN_SECONDS = 3600


def pod(job: Job, spec: JobSpec, attempt: int, rank: int, image: str, settings: PlanSettings) -> Manifest:
    """The manifest of one worker."""
    name = names.pod_name(job.metadata.name, attempt, rank)
    meta = names.metadata(job, name, {**spec.labels, **names.attempt_labels(job, attempt, rank)})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "annotations": pod_annotations(spec, settings)},
        "spec": {
            "restartPolicy": "Never",
            "hostname": name,
            "subdomain": names.service_name(job.metadata.name),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": settings.grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                # a shared volume with many files would be walked at every start
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": _one_a_node(job),
            **scheduling(spec, settings),
            "containers": [_container(spec, rank, image, settings)],
            "volumes": _volumes(job, spec, attempt, settings.scratch_size),
        },
    }


def _container(spec: JobSpec, rank: int, image: str, settings: PlanSettings) -> Manifest:
    memory = canonical(spec.resources.memory)
    gpus = {"nvidia.com/gpu": str(spec.gpus_per_node)} if spec.gpus_per_node else {}
    asked, most = _disk(settings)
    limit = {"cpu": canonical(spec.resources.cpu_limit)} if spec.resources.cpu_limit else {}
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["launch"],
        "command": ["python3", "-m", "llmtrain_trainer"],
        "env": [
            {"name": ENV_JOB_FILE, "value": JOB_FILE},
            {"name": ENV_NODE_RANK, "value": str(rank)},
            {"name": ENV_HOLDER, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "HOME", "value": SCRATCH_MOUNT},
            {"name": "TMPDIR", "value": SCRATCH_MOUNT},
        ],
        **_secrets(spec),
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "resources": {
            "requests": {"cpu": canonical(spec.resources.cpu), "memory": memory, **asked, **gpus},
            "limits": {**limit, "memory": memory, **most, **gpus},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(spec),
    }


def _secrets(spec: JobSpec) -> Manifest:
    """Credentials as environment; those for the data under names of their own."""
    output = [{"secretRef": {"name": spec.output.secret}}] if spec.output.secret else []
    data = spec.dataset.secret
    dataset = [{"prefix": DATASET_SECRET_PREFIX, "secretRef": {"name": data}}] if data else []
    return {"envFrom": output + dataset} if output or dataset else {}


def _disk(settings: PlanSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Request and limit of the node's disk: a job that fills it would have others evicted."""
    if not settings.scratch_request:
        # a limit alone would be a request of the same size
        return {}, {}
    size = settings.scratch_size
    limit = {"ephemeral-storage": size} if size else {}
    return {"ephemeral-storage": settings.scratch_request}, limit


def _mounts(spec: JobSpec) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True},
        {"name": "token", "mountPath": TOKEN_DIR, "readOnly": True},
        {"name": "scratch", "mountPath": SCRATCH_MOUNT},
    ]
    if output_location(spec.output.uri).claim:
        mounts.append({"name": "output", "mountPath": OUTPUT_MOUNT})
    mounts += [
        {"name": text.volume, "mountPath": text.mount, "readOnly": True} for text in text_claims(spec.dataset)
    ]
    if spec.gpus_per_node:
        mounts.append({"name": "shm", "mountPath": "/dev/shm"})
    return mounts


def _volumes(job: Job, spec: JobSpec, attempt: int, disk: str) -> list[Manifest]:
    token = {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    volumes: list[Manifest] = [
        {"name": "config", "configMap": {"name": names.config_name(job.metadata.name, attempt)}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "scratch", "emptyDir": {"sizeLimit": disk} if disk else {}},
    ]
    output = output_location(spec.output.uri)
    if output.claim:
        volumes.append(_claim("output", output.claim))
    volumes += [_claim(text.volume, text.claim) for text in text_claims(spec.dataset)]
    if spec.gpus_per_node:
        # NCCL's shared-memory transport needs more than the runtime's 64 MB
        # what lies in it counts as the container's memory, so more than that could never be used
        memory = str(spec.resources.memory)
        volumes.append({"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": memory}})
    return volumes


def _claim(name: str, claim: str) -> Manifest:
    return {"name": name, "persistentVolumeClaim": {"claimName": claim}}


def _one_a_node(job: Job) -> Manifest:
    """Spread the gang where there is room; never keep it from starting."""
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {LABEL_JOB_UID: job.metadata.uid}},
    }
    return {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }
