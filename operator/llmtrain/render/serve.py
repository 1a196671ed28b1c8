"""Manifests that serve an export: an InferenceService of KServe, or a Deployment of vLLM with a Service."""

from __future__ import annotations

import posixpath
from typing import Any

from llmtrain_api import Task
from llmtrain_api.schema.locations import folder

from .served import KSERVE_TASKS, RANKS, WRITES, AdapterAlone, Served

Object = dict[str, Any]
COPY_IMAGE = "amazon/aws-cli:2.31.0"
"""What copies an export out of a bucket, for vLLM."""
MODELS, BASE = "/models/export", "/models/base"
IN_IMAGE = "models"
"""Folder of an image with the files: where KServe looks too."""
PORT = 8000
AT_ONCE = 8
"""Adapters that one batch of vLLM may mix: each has room on the GPU, and others are read when asked for."""
BASE_NAME = "base"
"""What many adapters' base is served as: no adapter of a sweep may have that name."""
PRIVATE: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


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
        "storageUri": _storage_uri(served),
        "resources": _resources(served),
    }
    account = {"serviceAccountName": served.service_account} if served.service_account else {}
    account |= _pull_secret(served)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(served),
        "spec": {"predictor": {**account, "model": model}},
    }


def _storage_uri(served: Served) -> str:
    """Where KServe reads it: by ``oci://`` it would run a program of the image, and an export has none."""
    return f"oci+native://{served.uri.partition('://')[2]}" if served.in_registry else served.uri


def _pull_secret(served: Served) -> Object:
    if not (served.in_registry and served.secret):
        return {}
    return {"imagePullSecrets": [{"name": served.secret}]}


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
        **_pull_secret(served),
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
        return [_export(served), f"--served-model-name={served.name}", port, *parallel]
    on_hub = "://" not in adapter.base
    revision = [f"--revision={adapter.revision}"] if adapter.revision and on_hub else []
    return [
        adapter.base if on_hub else BASE,
        *revision,
        *_modules(served.name, adapter, _export(served)),
        f"--max-lora-rank={next(rank for rank in RANKS if rank >= adapter.rank)}",
        port,
        *parallel,
    ]


def _modules(name: str, adapter: AdapterAlone, root: str) -> list[str]:
    """Which adapters there are, and whose tokenizer knows the chat template that they were trained with."""
    if not adapter.many:
        return [f"--tokenizer={root}", "--enable-lora", f"--lora-modules={name}={root}/adapter"]
    export = posixpath.dirname(adapter.many[0][1])
    return [
        f"--tokenizer={root}/{export}",
        f"--served-model-name={BASE_NAME}",
        "--enable-lora",
        "--lora-modules",
        *(f"{one}={root}/{path}" for one, path in adapter.many),
        f"--max-loras={min(len(adapter.many), AT_ONCE)}",
    ]


def _export(served: Served) -> str:
    """Where the container has the export."""
    return f"{MODELS}/{IN_IMAGE}" if served.in_registry else MODELS


def _files(served: Served) -> tuple[list[Object], list[Object], list[Object]]:
    """Volumes, where they are mounted, and what fills those that are empty."""
    volumes, mounts, copies = [], [], []
    if served.in_registry:
        volume, mount = _image(served.uri)
    elif folder(served.uri).scheme == "pvc":
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


def _image(uri: str) -> tuple[Object, Object]:
    """An image that is mounted as it is: no program of it runs."""
    image = {"reference": uri.partition("://")[2], "pullPolicy": "IfNotPresent"}
    # without a subPath, which containerd 2.1 takes and does not look at
    mount = {"name": "export", "mountPath": MODELS, "readOnly": True}
    return {"name": "export", "image": image}, mount


def _copy(served: Served, mount: Object) -> Object:
    keys = {"envFrom": [{"secretRef": {"name": served.secret}}]} if served.secret else {}
    return {
        "name": "copy",
        "image": COPY_IMAGE,
        "args": ["s3", "sync", "--no-progress", *_only_exports(served), served.uri, MODELS],
        **keys,
        "securityContext": PRIVATE,
        "volumeMounts": [mount],
    }


def _only_exports(served: Served) -> list[str]:
    """Options that leave checkpoints and data of many adapters' jobs where they are."""
    if served.adapter is None or not served.adapter.many:
        return []
    wanted = (f"--include={posixpath.dirname(path)}/*" for _, path in served.adapter.many)
    return ["--exclude=*", *wanted]


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
