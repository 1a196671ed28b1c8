"""A TrainJob of Kubeflow Trainer (trainer.kubeflow.org/v1alpha1), and the runtime that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmtrain.errors import Mistake
from llmtrain.values import Object

from .fields import Fields, whole
from .pod import Worker, entrypoint_of, worker_of

NODE = "node"
"""The job of a runtime's template that trains, and its container."""
RUNTIMES = ("TrainingRuntime", "ClusterTrainingRuntime")


def train_job(spec: Fields, runtimes: Sequence[Object]) -> tuple[Object, Worker]:
    """The job's spec, and what its pods have in common.

    Args:
        spec: of the TrainJob.
        runtimes: that stand in the same file.

    Raises:
        Mistake: nobody knows what it runs.
    """
    reference = spec.inner("runtimeRef")
    name = reference.take("name", "")
    reference.ignore("apiGroup", "kind")
    runtime = _runtime(name, runtimes)
    template, nodes, processes = (
        _of_runtime(runtime) if runtime else ({"spec": {"containers": [{}]}}, 1, None)
    )
    trainer = spec.inner("trainer")
    container = _with_trainer(template, trainer)
    _overrides(spec, template, container)
    pods = Fields(template, f"runtime {name}" if runtime else "spec.trainer")
    spec.add(pods)
    if not container.get("image") and not runtime:
        raise Mistake(
            f"spec.runtimeRef: what runtime {name} runs is not known here; put it into the same file "
            f"(kubectl get clustertrainingruntime {name} -o yaml), or set trainer.image"
        )
    worker = worker_of(pods, (NODE, "trainer"))
    found: Object = {"nodes": trainer.number("numNodes") or nodes}
    processes = whole(trainer.take("numProcPerNode")) or processes
    if spec.take("suspend"):
        found["suspend"] = True
    spec.ignore("managedBy")
    _initializer(spec)
    return worker.spec | found | entrypoint_of(worker, processes, pods), worker


def _runtime(name: str, runtimes: Sequence[Object]) -> Object | None:
    return next((one for one in runtimes if (one.get("metadata") or {}).get("name") == name), None)


def _of_runtime(runtime: Object) -> tuple[Object, int, int | None]:
    """The pod's template of the nodes, how many there are, and processes of each."""
    spec = runtime.get("spec") or {}
    policy = spec.get("mlPolicy") or {}
    processes = (policy.get("torch") or {}).get("numProcPerNode")
    jobs = (((spec.get("template") or {}).get("spec") or {}).get("replicatedJobs")) or []
    for job in jobs:
        if isinstance(job, dict) and job.get("name") == NODE:
            inner = ((job.get("template") or {}).get("spec") or {}).get("template") or {}
            count = policy.get("numNodes")
            return inner, count if isinstance(count, int) else 1, whole(processes)
    raise Mistake(f"runtime {runtime['metadata']['name']}: it has no replicated job {NODE}, which trains")


def _with_trainer(template: Object, trainer: Fields) -> Object:
    """The container that trains, with what the job says of it put over what the runtime says."""
    containers = template.setdefault("spec", {}).setdefault("containers", [{}])
    container: Object = next(
        (one for one in containers if one.get("name") in (NODE, "trainer")), containers[0]
    )
    for name in ("image", "command", "args"):
        if (value := trainer.take(name)) is not None:
            container[name] = value
            if name == "command":
                container.pop("args", None)
    if (value := trainer.take("resourcesPerNode")) is not None:
        container["resources"] = value
    container["env"] = _merged(container.get("env"), trainer.items("env"))
    return container


def _merged(below: Any, above: list[Any]) -> list[Any]:
    """Lists of what has names: of two of one name the later one counts."""
    named = {one.get("name"): one for one in [*(below or []), *above] if isinstance(one, dict)}
    return list(named.values())


def _overrides(spec: Fields, template: Object, container: Object) -> None:
    for name in ("podTemplateOverrides", "podSpecOverrides"):
        for number, one in enumerate(spec.items(name)):
            override = Fields(one, f"{spec.path}.{name}[{number}]")
            targets = [target.get("name") for target in override.items("targetJobs")]
            if targets and NODE not in targets:
                spec.note(
                    f"{override.path}: is for {', '.join(map(str, targets))}, which there are none of here"
                )
                continue
            spec.add(override)
            pod = override.inner("spec") if "spec" in override.names() else override
            override.ignore("metadata")
            for field in pod.names():
                value = pod.take(field)
                if field == "containers":
                    for changed in (c for c in value if isinstance(c, dict)):
                        for part in ("env", "volumeMounts"):
                            container[part] = _merged(container.get(part), changed.get(part) or [])
                elif isinstance(value, list):
                    template["spec"][field] = [*(template["spec"].get(field) or []), *value]
                else:
                    template["spec"][field] = value


def _initializer(spec: Fields) -> None:
    found = spec.take("initializer")
    for name, one in found.items() if isinstance(found, dict) else ():
        uri = one.get("storageUri") if isinstance(one, dict) else None
        spec.note(
            f"{spec.path}.initializer.{name}: {uri} is not fetched for a program of your own; have it read "
            "the claim or the hub, or use model and dataset in place of entrypoint, which fetch it"
        )
