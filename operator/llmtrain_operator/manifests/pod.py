"""A pod of the trainer: a rank, or what runs before the gang. Passes Pod Security ``restricted``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llmtrain_api import Job, JobSpec, Setup, SetupStage
from llmtrain_api.names import (
    ENV_HOLDER,
    ENV_JOB_FILE,
    ENV_NODE_RANK,
    JOB_FILE,
    LABEL_JOB_UID,
    MASTER_PORT,
    METRICS_PORT,
    SCRATCH_MOUNT,
)
from llmtrain_api.schema.quantity import canonical, quantity

from ..trace_ids import ENV_TRACEPARENT, traceparent
from ..types import Allowed, Manifest, PlanSettings
from . import mounts, names
from .config import origin_folder
from .credentials import registry_config, secrets
from .mounts import Mounted
from .pod_template import with_placement, with_template
from .scheduling import pod_annotations, scheduling, together
from .volumes import Location, origin_location

CONTAINER = "trainer"
SETUP_ARGS = {SetupStage.INSPECT: ("inspect",), SetupStage.PREPARE: ("launch", "--only-prepare")}
INSPECT_CPU, INSPECT_MEMORY = "500m", "2Gi"
"""What the inspection of a model asks for: it reads headers, not weights."""


@dataclass(frozen=True)
class _Container:
    """What differs between the pods of a job.

    Attributes:
        args: verb of the trainer, and its options.
        config: name of the ConfigMap with ``job.json``.
        rank: node rank.
        cpu: request.
        memory: request and limit.
        gpus: of the pod.
        origin: where the output lies that the job begins with a step of.
        only_model: whether it is to see the model and nothing else of the job.
        worker: whether it is a rank, which has the gang's devices and network.
        traceparent: what its programs name as the parent of their spans; empty = nobody collects them.
    """

    args: tuple[str, ...]
    config: str
    rank: int
    cpu: str
    memory: str
    gpus: int
    only_model: bool = False
    origin: Location | None = None
    worker: bool = False
    traceparent: str = ""

    @property
    def first(self) -> bool:
        """Whether it is node 0's worker."""
        return self.worker and self.rank == 0


def pod(
    job: Job,
    spec: JobSpec,
    attempt: int,
    rank: int,
    image: str,
    settings: PlanSettings,
    avoid: Sequence[str] = (),
) -> Manifest:
    """The manifest of one worker; ``avoid`` names nodes that it keeps off where there is other room."""
    name = names.pod_name(job.metadata.name, attempt, rank)
    meta = names.metadata(job, name, {**spec.labels, **names.attempt_labels(job, attempt, rank)})
    asked = _Container(
        args=("launch",),
        config=names.config_name(job.metadata.name, attempt),
        rank=rank,
        cpu=spec.resources.cpu,
        memory=spec.resources.memory,
        gpus=spec.gpus_per_node,
        origin=_origin(job, spec),
        worker=True,
        traceparent=traceparent(job.metadata.uid, attempt) if settings.traces else "",
    )
    found = _pod(meta, job, spec, asked, image, settings)
    found["spec"]["affinity"] |= _off(avoid) | together(job, spec, attempt)
    worker = {
        **found,
        "spec": {"hostname": name, "subdomain": names.service_name(job.metadata.name)} | found["spec"],
    }
    return with_template(worker, spec)


def setup_pod(job: Job, spec: JobSpec, setup: Setup, image: str, settings: PlanSettings) -> Manifest:
    """The manifest of a pod that runs before the gang: without GPUs, and nobody looks its name up."""
    name = names.setup_name(job.metadata.name, setup.stage, setup.number)
    meta = names.metadata(job, name, {**spec.labels, **names.setup_labels(job, setup.stage)})
    own, inspects = spec.prepare.resources, setup.stage is SetupStage.INSPECT
    asked = _Container(
        args=SETUP_ARGS[setup.stage],
        config=name,
        rank=0,
        cpu=own.cpu or (INSPECT_CPU if inspects else spec.resources.cpu),
        memory=own.memory or (INSPECT_MEMORY if inspects else spec.resources.memory),
        gpus=0,
        origin=None if inspects else _origin(job, spec),
        only_model=inspects,
    )
    return with_placement(_pod(meta, job, spec, asked, image, settings), spec)


def _origin(job: Job, spec: JobSpec) -> Location | None:
    found = origin_folder(job, spec)
    return origin_location(found.uri, spec.output.uri) if found else None


def _pod(
    meta: Manifest, job: Job, spec: JobSpec, asked: _Container, image: str, settings: PlanSettings
) -> Manifest:
    mounted = _mounted(spec, asked, settings.scratch_size)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "annotations": pod_annotations(spec, settings)},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": settings.grace_seconds,
            "securityContext": {
                "runAsNonRoot": True,
                **_user(settings),
                # a shared volume with many files would be walked at every start
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": _one_a_node(job),
            **_network(spec, asked, settings),
            **scheduling(spec, settings),
            "containers": [_container(spec, asked, image, settings, mounted)],
            "volumes": [one.volume() for one in mounted],
        },
    }


def _user(settings: PlanSettings) -> dict[str, int]:
    """Who the pod runs as, where its namespace does not say."""
    user = settings.run_as_user
    return {} if user is None else dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), user)


def _container(
    spec: JobSpec, asked: _Container, image: str, settings: PlanSettings, mounted: Sequence[Mounted]
) -> Manifest:
    memory = canonical(asked.memory)
    devices = _devices(spec, asked)
    least, most = _disk(settings)
    limit = {"cpu": canonical(_cpu_limit(spec, asked))} if spec.resources.cpu_limit else {}
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": list(asked.args),
        "command": ["python3", "-m", "llmtrain_trainer"],
        "env": [
            {"name": ENV_JOB_FILE, "value": JOB_FILE},
            {"name": ENV_NODE_RANK, "value": str(asked.rank)},
            {"name": ENV_HOLDER, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "HOME", "value": SCRATCH_MOUNT},
            {"name": "TMPDIR", "value": SCRATCH_MOUNT},
            *(registry_config(spec) if asked.first else []),
            *([{"name": ENV_TRACEPARENT, "value": asked.traceparent}] if asked.traceparent else []),
        ],
        **secrets(spec, first=asked.first, only_model=asked.only_model),
        "ports": _ports(spec, asked, settings),
        "resources": {
            "requests": {"cpu": canonical(asked.cpu), "memory": memory, **least, **devices},
            "limits": {**limit, "memory": memory, **most, **devices},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [one.mount() for one in mounted],
    }


def _devices(spec: JobSpec, asked: _Container) -> dict[str, str]:
    """What it gets of the node's devices; requests and limits of these are the same."""
    gpus = {spec.resources.gpu_resource: str(asked.gpus)} if asked.gpus else {}
    rdma = spec.resources.rdma
    return gpus | ({rdma.resource: str(rdma.count)} if rdma and asked.worker else {})


def _ports(spec: JobSpec, asked: _Container, settings: PlanSettings) -> list[Manifest]:
    """On a node's own network a port is the node's: that of the rendezvous is named too, so that the
    scheduler keeps two such pods apart, of whatever jobs they are."""
    ports: list[Manifest] = [{"name": "metrics", "containerPort": METRICS_PORT}]
    if not _on_host(spec, asked, settings):
        return ports
    ports.append({"name": "rendezvous", "containerPort": MASTER_PORT})
    return [{**port, "hostPort": port["containerPort"], "protocol": "TCP"} for port in ports]


def _network(spec: JobSpec, asked: _Container, settings: PlanSettings) -> Manifest:
    """The cluster's names are asked for there too: ranks meet under one."""
    on_host = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    return on_host if _on_host(spec, asked, settings) else {}


def _on_host(spec: JobSpec, asked: _Container, settings: PlanSettings) -> bool:
    """Looked at here too: a job that has begun may have been edited since it was accepted."""
    return spec.host_network and asked.worker and Allowed.HOST_NETWORK in settings.allow


def _cpu_limit(spec: JobSpec, asked: _Container) -> str:
    """Never below what this pod asks for."""
    limit = str(spec.resources.cpu_limit)
    return max(limit, asked.cpu, key=quantity)


def _disk(settings: PlanSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Request and limit of the node's disk: a job that fills it would have others evicted."""
    if not settings.scratch_request:
        # a limit alone would be a request of the same size
        return {}, {}
    size = settings.scratch_size
    limit = {"ephemeral-storage": size} if size else {}
    return {"ephemeral-storage": settings.scratch_request}, limit


def _mounted(spec: JobSpec, asked: _Container, scratch_size: str) -> list[Mounted]:
    found = [*mounts.of_pod(asked.config, scratch_size), *mounts.of_model(spec)]
    if asked.only_model:
        return found
    size = _shared_memory(spec, asked)
    return [*found, *mounts.of_job(spec, asked.origin), *([mounts.shared_memory(size)] if size else [])]


def _shared_memory(spec: JobSpec, asked: _Container) -> str | None:
    """Size of ``/dev/shm``; None for the container runtime's own 64 MB.

    NCCL's shared-memory transport needs more than that. What lies in it counts as the container's memory, so
    more than all of that could never be used.
    """
    if spec.resources.shared_memory and asked.worker:
        return canonical(spec.resources.shared_memory)
    return str(asked.memory) if asked.gpus else None


def _off(nodes: Sequence[str]) -> Manifest:
    """Keep off these nodes, but rather run there than not at all."""
    if not nodes:
        return {}
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [node]} for node in nodes]
    term = {"weight": 100, "preference": {"matchFields": fields}}
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}


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
