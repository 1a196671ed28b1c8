"""A PyTorchJob of Kubeflow's training operator (kubeflow.org/v1)."""

from __future__ import annotations

from llmtrain.errors import Mistake
from llmtrain.values import Object
from llmtrain_api.schema.lifecycle import KeepPods

from .fields import Fields, whole
from .pod import Worker, entrypoint_of, worker_of

CONTAINERS = ("pytorch",)
NONE_STAYS = "All"
"""The ``cleanPodPolicy`` under which no ended pod stays; those that still run are ended in any case."""


def pytorch_job(spec: Fields) -> tuple[Object, Worker]:
    """The job's spec, and what its pods have in common.

    Raises:
        Mistake: it has no pods that could train.
    """
    replicas = spec.inner("pytorchReplicaSpecs")
    parts = {name: replicas.inner(name) for name in ("Master", "Worker") if name in replicas.names()}
    if not parts:
        raise Mistake(f"{replicas.path}: there is neither Master nor Worker")
    counts = {name: _or(part.number("replicas"), 1) for name, part in parts.items()}
    templates = {name: part.inner("template") for name, part in parts.items()}
    first = next(iter(templates))
    workers = {name: worker_of(template, CONTAINERS) for name, template in templates.items()}
    worker = workers[first]
    if len(workers) == 2 and workers["Master"] != workers["Worker"]:
        spec.note(
            f"{replicas.path}: Master and Worker differ, and all pods of a gang are alike here: those of "
            "Master are taken, as many as both have"
        )
    found: Object = {"nodes": sum(counts.values())}
    restarts = {part.take("restartPolicy") for part in parts.values()}
    recovery: Object = {"maxRestarts": 0} if "Never" in restarts else {}
    _elastic(spec, found, recovery, counts.get("Master", 0))
    _run_policy(spec.inner("runPolicy"), found, recovery)
    if recovery:
        found["recovery"] = recovery
    processes = whole(spec.take("nprocPerNode"))
    return worker.spec | found | entrypoint_of(worker, processes, templates[first]), worker


def _or(value: int | None, usual: int) -> int:
    return usual if value is None else value


def _elastic(spec: Fields, found: Object, recovery: Object, masters: int) -> None:
    elastic = spec.inner("elasticPolicy")
    least, most = elastic.number("minReplicas"), elastic.number("maxReplicas")
    if most is not None:
        found["nodes"] = masters + most
    if least is not None and masters + least < found["nodes"]:
        found["minNodes"] = masters + least
    restarts = elastic.number("maxRestarts")
    if restarts is not None:
        recovery["maxRestarts"] = restarts
    elastic.ignore("rdzvBackend", "rdzvPort", "rdzvHost", "rdzvId", "rdzvConf", "standalone", "nProcPerNode")
    elastic.drop("metrics", "the gang grows when there is room, and not by load")


def _run_policy(policy: Fields, found: Object, recovery: Object) -> None:
    for name in ("activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        seconds = policy.number(name)
        if seconds is not None:
            found[name] = seconds
    limit = policy.number("backoffLimit")
    if limit is not None:
        recovery.setdefault("maxRestarts", limit)
    if policy.take("cleanPodPolicy") == NONE_STAYS:
        found["keepPods"] = KeepPods.NEVER.value
    if policy.take("suspend"):
        found["suspend"] = True
    if manager := policy.take("managedBy"):
        policy.note(f"{policy.path}.managedBy: {manager} looks after jobs of Kubeflow; left out")
    gang = policy.inner("schedulingPolicy")
    if (priority := gang.take("priorityClass")) is not None:
        found["priorityClassName"] = priority
    gang.ignore("minAvailable", "minResources", "scheduleTimeoutSeconds")
    gang.drop("queue", "a queue of Kueue is named by queueName, one of Volcano by an annotation")
