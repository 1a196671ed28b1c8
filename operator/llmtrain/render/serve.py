"""Manifests that serve an export: an InferenceService of KServe, or a Deployment of vLLM with a Service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmtrain_api import Task
from llmtrain_api.schema.locations import folder

Object = dict[str, Any]
VLLM_IMAGE = "vllm/vllm-openai:v0.33.0"
"""What serves where no KServe is."""
COPY_IMAGE = "amazon/aws-cli:2.31.0"
"""What copies an export out of a bucket, for vLLM."""
MODELS, BASE = "/models/export", "/models/base"
PORT = 8000
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks of adapters that vLLM makes room for."""
KSERVE_TASKS = {
    Task.CAUSAL: "text_generation",
    Task.CHAT: "text_generation",
    Task.PREFERENCE: "text_generation",
    Task.SEQ2SEQ: "text2text_generation",
    Task.TEXT2TEXT: "text2text_generation",
    Task.MASKED: "fill_mask",
    Task.CLASSIFICATION: "sequence_classification",
    Task.REGRESSION: "sequence_classification",
    Task.REINFORCEMENT: "text_generation",
    Task.REWARD: "sequence_classification",
    Task.TOKENS: "token_classification",
}
"""KServe's word for what an export does, by the task that it learnt."""
WRITES = (Task.CAUSAL, Task.CHAT, Task.PREFERENCE, Task.REINFORCEMENT)
"""Tasks whose exports write text after a text: those that vLLM serves."""
PRIVATE: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class AdapterAlone:
    """An export that is an adapter without the weights that it stands beside.

    Attributes:
        base: the model: ``OWNER/NAME`` of the hub, or ``pvc://CLAIM/FOLDER``.
        revision: commit of it, on the hub.
        rank: of the adapter.
        secret: Secret with the hub's token, for a base that is not public.
    """

    base: str
    revision: str | None
    rank: int
    secret: str | None = None


@dataclass(frozen=True)
class Served:
    """What is served, and from where.

    Attributes:
        name: of the model, and of what serves it.
        task: that it learnt.
        uri: where the export lies: ``pvc://CLAIM/FOLDER`` or ``s3://BUCKET/FOLDER``.
        namespace: where the claim is; None where nobody said.
        gpus: of a replica; 0 for a CPU.
        cpu: as a quantity.
        memory: as a quantity.
        image: of vLLM.
        service_account: whose Secrets KServe reads a bucket with.
        secret: with the keys of the bucket, for vLLM.
        adapter: where the export is one, alone.
    """

    name: str
    task: Task
    uri: str
    namespace: str | None = None
    gpus: int = 1
    cpu: str = "4"
    memory: str = "16Gi"
    image: str = VLLM_IMAGE
    service_account: str | None = None
    secret: str | None = None
    adapter: AdapterAlone | None = None


def refusal(served: Served, *, plain: bool) -> str | None:
    """Why it cannot be served so, with what can be done; None where it can.

    Args:
        served: what is served.
        plain: by vLLM alone, without KServe.
    """
    scheme = folder(served.uri).scheme
    if scheme not in ("pvc", "s3"):
        return f"{served.uri} is nothing that a cluster reads; use --uri pvc://CLAIM/FOLDER or s3://BUCKET/FOLDER"
    if served.task not in KSERVE_TASKS:
        return (
            f"neither KServe's runtime nor vLLM serves task {served.task}; the model card has a program that "
            "opens it with transformers, to be served by one of your own"
        )
    if plain and served.task not in WRITES:
        return (
            f"vLLM serves models that write text after a text, and task {served.task} does not; leave out "
            "--plain: KServe's runtime serves it"
        )
    if plain and not served.gpus and served.image == VLLM_IMAGE:
        return f"{VLLM_IMAGE} needs a GPU; use --gpus 1, or --image with a build of vLLM for CPUs"
    return _refused_adapter(served, served.adapter, plain=plain) if served.adapter else None


def _refused_adapter(served: Served, adapter: AdapterAlone, *, plain: bool) -> str | None:
    if not plain:
        return (
            f"{served.name} is an adapter alone, and KServe's runtime opens whole models; use --plain, or "
            "export it with output.merged: true"
        )
    if adapter.rank > RANKS[-1]:
        return f"vLLM serves adapters of rank {RANKS[-1]} at most, and this one has {adapter.rank}; merge it"
    if "://" in adapter.base and folder(adapter.base).scheme != "pvc":
        return (
            f"the adapter's base {adapter.base} is neither on a claim nor on the hub; export it with "
            "output.merged: true"
        )
    return None


def hints(served: Served, *, plain: bool) -> list[str]:
    """What whoever applies it has to know beside."""
    told = []
    if folder(served.uri).scheme == "s3" and plain and not served.secret:
        told.append(
            "the bucket is read without keys; --secret NAME gives those of a Secret, as output.secret"
        )
    if folder(served.uri).scheme == "s3" and not plain and not served.service_account:
        told.append(
            "KServe reads a bucket with the Secrets of a ServiceAccount (--service-account NAME); for a "
            "store that is not Amazon's, the Secret has annotation serving.kserve.io/s3-endpoint"
        )
    if served.task in (Task.SEQ2SEQ, Task.MASKED):
        told.append(f"it was trained on {served.task} alone: it fills gaps, and answers nobody")
    return told


def inference_service(served: Served) -> Object:
    """The InferenceService, for the runtime of KServe that serves Hugging Face folders."""
    arguments = [f"--model_name={served.name}", f"--task={KSERVE_TASKS[served.task]}"]
    if served.task in (Task.REGRESSION, Task.REWARD):
        arguments.append("--return_raw_logits")  # the number; it would name a class else
    if served.task not in WRITES or not served.gpus:
        arguments.append("--backend=huggingface")
    elif served.gpus > 1:
        arguments.append(f"--tensor-parallel-size={served.gpus}")
    model = {
        "modelFormat": {"name": "huggingface"},
        "args": arguments,
        "storageUri": served.uri,
        "resources": _resources(served),
    }
    account = {"serviceAccountName": served.service_account} if served.service_account else {}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(served),
        "spec": {"predictor": {**account, "model": model}},
    }


def deployment_and_service(served: Served) -> list[Object]:
    """vLLM over the export, with its API of OpenAI's form on port 80 of a Service."""
    labels = _labels(served)
    volumes, mounts, copies = _files(served)
    container: Object = {
        "name": "vllm",
        "image": served.image,
        "command": ["vllm", "serve"],
        "args": _vllm_arguments(served),
        **_hub_access(served),
        "ports": [{"name": "http", "containerPort": PORT}],
        "startupProbe": _probe(10, 180),
        "readinessProbe": _probe(5, 3),
        "livenessProbe": _probe(10, 6),
        "resources": _resources(served),
        "securityContext": PRIVATE,
        "volumeMounts": [*mounts, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    pod: Object = {
        "automountServiceAccountToken": False,
        # a Service named vllm would else become VLLM_PORT, which vLLM takes for its own
        "enableServiceLinks": False,
        **({"initContainers": copies} if copies else {}),
        "containers": [container],
        "volumes": [*volumes, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
    }
    deployment: Object = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(served),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(served),
        "spec": {"selector": labels, "ports": ports},
    }
    return [deployment, service]


def _vllm_arguments(served: Served) -> list[str]:
    parallel = [f"--tensor-parallel-size={served.gpus}"] if served.gpus > 1 else []
    adapter, port = served.adapter, f"--port={PORT}"
    if adapter is None:
        return [MODELS, f"--served-model-name={served.name}", port, *parallel]
    on_hub = "://" not in adapter.base
    revision = [f"--revision={adapter.revision}"] if adapter.revision and on_hub else []
    return [
        adapter.base if on_hub else BASE,
        *revision,
        # the adapter's tokenizer knows the chat template that it was trained with
        f"--tokenizer={MODELS}",
        "--enable-lora",
        f"--lora-modules={served.name}={MODELS}/adapter",
        f"--max-lora-rank={next(rank for rank in RANKS if rank >= adapter.rank)}",
        port,
        *parallel,
    ]


def _files(served: Served) -> tuple[list[Object], list[Object], list[Object]]:
    """Volumes, where they are mounted, and what fills those that are empty."""
    volumes, mounts, copies = [], [], []
    if folder(served.uri).scheme == "pvc":
        volume, mount = _claim("export", served.uri, MODELS)
    else:
        volume, mount = {"name": "export", "emptyDir": {}}, {"name": "export", "mountPath": MODELS}
        copies.append(_copy(served, mount))
        mount = {**mount, "readOnly": True}
    volumes.append(volume)
    mounts.append(mount)
    if served.adapter and served.adapter.base.startswith("pvc://"):
        volume, mount = _claim("base", served.adapter.base, BASE)
        volumes.append(volume)
        mounts.append(mount)
    return volumes, mounts, copies


def _claim(name: str, uri: str, path: str) -> tuple[Object, Object]:
    found = folder(uri)
    below = {"subPath": "/".join(found.parts)} if found.parts else {}
    claim = {"claimName": found.owner, "readOnly": True}
    return (
        {"name": name, "persistentVolumeClaim": claim},
        {"name": name, "mountPath": path, **below, "readOnly": True},
    )


def _copy(served: Served, mount: Object) -> Object:
    keys = {"envFrom": [{"secretRef": {"name": served.secret}}]} if served.secret else {}
    return {
        "name": "copy",
        "image": COPY_IMAGE,
        "args": ["s3", "sync", "--no-progress", served.uri, MODELS],
        **keys,
        "securityContext": PRIVATE,
        "volumeMounts": [mount],
    }


def _hub_access(served: Served) -> Object:
    secret = served.adapter.secret if served.adapter else None
    return {"envFrom": [{"secretRef": {"name": secret}}]} if secret else {}


def _probe(seconds: int, failures: int) -> Object:
    asked = {"path": "/health", "port": "http"}
    return {"httpGet": asked, "periodSeconds": seconds, "failureThreshold": failures}


def _resources(served: Served) -> Object:
    gpus = {"nvidia.com/gpu": str(served.gpus)} if served.gpus else {}
    return {
        "requests": {"cpu": served.cpu, "memory": served.memory, **gpus},
        "limits": {"memory": served.memory, **gpus},
    }


def _labels(served: Served) -> Object:
    return {"app.kubernetes.io/name": "llmtrain-export", "app.kubernetes.io/instance": served.name}


def _metadata(served: Served) -> Object:
    namespace = {"namespace": served.namespace} if served.namespace else {}
    return {"name": served.name, **namespace, "labels": _labels(served)}
