"""A pod's template as fields of a job: what has a field of its own goes there, the rest into podTemplate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llmtrain.errors import Mistake
from llmtrain.values import Object
from llmtrain_api.schema.entrypoint import Starter

from .fields import Fields, whole
from .program import Program, program_of

TRAINER = "trainer"
SHARED_MEMORY = "/dev/shm"
USUAL_GPU = "nvidia.com/gpu"
OTHER_GPUS = ("habana.ai/gaudi", "google.com/tpu")
OF_A_POD = (
    "affinity",
    "topologySpreadConstraints",
    "runtimeClassName",
    "schedulerName",
    "hostAliases",
    "dnsConfig",
)
"""Fields of a pod that podTemplate has too."""
OF_A_JOB = (
    "nodeSelector", "tolerations", "imagePullSecrets", "priorityClassName", "serviceAccountName",
    "hostNetwork",
)  # fmt: skip
"""Fields of a pod that a job has too."""
SAME_HERE = ("restartPolicy", "terminationGracePeriodSeconds", "dnsPolicy", "automountServiceAccountToken",
             "enableServiceLinks", "hostname", "subdomain", "serviceAccount")  # fmt: skip
"""Fields that the operator decides for every pod."""
FOREIGN_LABELS = ("kubeflow.org/", "training.kubeflow.org/", "trainer.kubeflow.org/", "jobset.sigs.k8s.io/")


@dataclass
class Worker:
    """What the pods of a gang have in common.

    Attributes:
        spec: fields of the job.
        program: that a node runs.
        gpus: of a node.
        claims: names of claims that the container mounts, in their order.
    """

    spec: Object
    program: Program
    gpus: int
    claims: list[str] = field(default_factory=list)


def worker_of(template: Fields, names: Sequence[str]) -> Worker:
    """Read a pod's template.

    Args:
        template: with ``metadata`` and ``spec``.
        names: of the container that trains; where none is there, the first one is it.

    Raises:
        Mistake: it has no container, or nobody knows what that one runs.
    """
    pod = template.inner("spec")
    containers = [
        Fields(one, f"{pod.path}.containers[{number}]") for number, one in enumerate(pod.items("containers"))
    ]
    if not containers:
        raise Mistake(f"{pod.path}.containers: there is none")
    called = [one.take("name", "") for one in containers]
    at = next((called.index(name) for name in names if name in called), 0)
    main = containers[at]
    spec: Object = {name: value for name in OF_A_JOB if (value := pod.take(name)) is not None}
    spec |= _labels(template)
    program, gpus = _program(main), _resources(main, spec)
    inner: Object = {name: value for name in OF_A_POD if (value := pod.take(name)) is not None}
    claims = _volumes(pod, main, inner, spec)
    own = {name: value for name in ("env", "envFrom", "volumeMounts") if (value := main.take(name))}
    others = [
        {"name": name, **one.rest()}
        for n, (name, one) in enumerate(zip(called, containers, strict=True))
        if n != at
    ]
    if own or others:
        inner["containers"] = [*([{"name": TRAINER, **own}] if own else []), *others]
    if first := pod.items("initContainers"):
        inner["initContainers"] = first
    if inner:
        spec["podTemplate"] = {"spec": inner}
    for one in (pod, main):
        one.drop("securityContext", "worker pods run by the restricted profile, as user 1000 with group 1000")
    main.drop("workingDir", "is not carried over; name the program by its whole path")
    main.ignore("imagePullPolicy", "ports", "terminationMessagePath", "terminationMessagePolicy")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        main.drop(probe, "hangs are found by steps and not by probes; left out")
    pod.ignore(*SAME_HERE)
    template.add(main)
    return Worker({"image": main.take("image"), **spec}, program, gpus, claims)


def entrypoint_of(worker: Worker, processes: int | None, template: Fields) -> Object:
    """``entrypoint`` and what belongs to it, so that as many processes run as before.

    Args:
        worker: the pods.
        processes: of a node, where the job itself tells them.
        template: is told what a person has to know.
    """
    program = worker.program
    told = program.processes or processes
    found: Object = {"entrypoint": {"command": list(program.words)}, "gpusPerNode": worker.gpus}
    if program.torchrun:
        if told and worker.gpus and told != worker.gpus:
            template.note(
                f"torchrun started {told} processes on a node with {worker.gpus} GPUs; here each GPU has one"
            )
        if told and not worker.gpus:
            found["processesPerNode"] = told
        template.note(
            "torchrun is started by the launcher, with options of its own: those of the command are left out"
        )
    elif worker.gpus > 1:
        found["entrypoint"]["starter"] = Starter.NONE.value
        template.note(
            f"each node is one rank with {worker.gpus} GPUs, as before (entrypoint.starter: none); without "
            "it each GPU gets a process of its own"
        )
    elif program.words[0].rpartition("/")[2] in ("sh", "bash"):
        found["entrypoint"]["starter"] = Starter.NONE.value
    return found


def _labels(template: Fields) -> Object:
    metadata = template.inner("metadata")
    metadata.ignore("name", "creationTimestamp", "namespace")
    found = {}
    for name in ("labels", "annotations"):
        own = {k: v for k, v in (metadata.take(name) or {}).items() if not k.startswith(FOREIGN_LABELS)}
        if own:
            found[name] = own
    return found


def _program(main: Fields) -> Program:
    words = [*main.items("command"), *main.items("args")]
    if not words:
        raise Mistake(
            f"{main.path}: it has no command, and what its image runs is not known here; write it as command "
            "into the file (docker inspect IMAGE tells it)"
        )
    return program_of([str(word) for word in words])


def _resources(main: Fields, spec: Object) -> int:
    """Fill in ``resources``; the GPUs of a node.

    Raises:
        Mistake: a number of devices is none.
    """
    asked = main.inner("resources")
    requests, limits = asked.inner("requests"), asked.inner("limits")
    found: Object = {}
    gpus = 0
    for part in (requests, limits):
        for name in part.names():
            if name.endswith("/gpu") or name in OTHER_GPUS:
                gpus = _count(part, name)
                if name != USUAL_GPU:
                    found["gpuResource"] = name
            elif name.startswith("rdma/"):
                found["rdma"] = {"resource": name, "count": _count(part, name)}
    cpu, limit = requests.take("cpu"), limits.take("cpu")
    if cpu or limit:
        found["cpu"] = str(cpu or limit)
    if limit:
        found["cpuLimit"] = str(limit)
    memory = requests.take("memory"), limits.take("memory")
    if any(memory):
        found["memory"] = str(memory[1] or memory[0])
    if found:
        spec["resources"] = found
    return gpus


def _count(part: Fields, name: str) -> int:
    value = part.take(name)
    found = whole(value)
    if found is None:
        raise Mistake(f"{part.path}.{name}: got {str(value)!r}; it must be a whole number")
    return found


def _volumes(pod: Fields, main: Fields, inner: Object, spec: Object) -> list[str]:
    """Fill in volumes, less the one for shared memory; the claims that the container mounts."""
    mounts = [one for one in main.items("volumeMounts") if isinstance(one, dict)]
    volumes = [one for one in pod.items("volumes") if isinstance(one, dict)]
    shared = {one.get("name") for one in mounts if one.get("mountPath") == SHARED_MEMORY}
    for one in volumes:
        size = (one.get("emptyDir") or {}).get("sizeLimit") if one.get("name") in shared else None
        if size is not None:
            spec.setdefault("resources", {})["sharedMemory"] = str(size)
    if kept := [one for one in volumes if one.get("name") not in shared]:
        inner["volumes"] = kept
    mounted = [one for one in mounts if one.get("name") not in shared]
    if mounted:
        main.put("volumeMounts", mounted)
    claims = {one.get("name"): (one.get("persistentVolumeClaim") or {}).get("claimName") for one in volumes}
    found = [claims.get(one.get("name")) for one in mounted]
    return [name for name in dict.fromkeys(found) if name]
