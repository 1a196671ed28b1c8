"""A manifest made to fit this machine."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import JobSpec

from ..kube.api import Object

MOST_PODS = 2


@dataclass(frozen=True)
class GangOverrides:
    """What the command line says; None = what fits."""

    nodes: int | None = None
    processes: int | None = None


def scaled_down(document: Object, spec: JobSpec, have: int, overrides: GangOverrides) -> Object:
    """The manifest with a gang that this machine can run.

    At most two training processes, unless more are asked for; one pod where there are GPUs. The global batch
    is as it was, whatever the world size.

    Args:
        document: the manifest.
        spec: the same, understood.
        have: GPUs of this machine.
        overrides: of the person who runs it.
    """
    gpus = spec.gpus_per_node if have else 0
    nodes = overrides.nodes or min(spec.nodes, 1 if gpus else MOST_PODS)
    gpus = min(gpus, have // nodes)
    processes = overrides.processes or (1 if gpus or nodes > 1 else min(spec.local_world_size, MOST_PODS))
    gang = {"nodes": nodes, "gpusPerNode": gpus, "processesPerNode": processes}
    # processes have no volumes, sidecars or nodes
    here = {name: value for name, value in document["spec"].items() if name != "podTemplate"} | gang
    if isinstance(resources := here.get("resources"), dict):
        # devices have other names on nodes than here
        here["resources"] = {k: v for k, v in resources.items() if k not in ("gpuResource", "rdma")}
    if here.get("notify"):
        # there are no Secrets either
        here["notify"] = [one for one in here["notify"] if "urlSecret" not in one]
    return {**document, "spec": here}


def describe_changes(spec: JobSpec, to: JobSpec) -> str:
    """What was changed, in one line; empty when nothing was."""
    if (spec.nodes, spec.local_world_size, spec.gpus_per_node) == (
        to.nodes,
        to.local_world_size,
        to.gpus_per_node,
    ):
        return ""
    batch = "" if spec.entrypoint is not None else f"; the global batch stays {to.training.global_batch_size}"
    return f"this machine: {gang_text(to)} instead of {gang_text(spec)}{batch}"


def not_told(spec: JobSpec) -> str:
    """Which receivers are not told of the job here, in one line; empty when all are."""
    places = [f"spec.notify[{n}]" for n, one in enumerate(spec.notify) if one.url_secret is not None]
    if not places:
        return ""
    return f"this machine has no Secrets: {', '.join(places)} is not told; a receiver with url is"


def why_scaled(spec: JobSpec, scaled: Object, have: int) -> str:
    """Where the numbers of a refusal come from, and the options that give the manifest's own.

    Args:
        spec: as it was written.
        scaled: the manifest with the gang for this machine, which its rules refuse.
        have: GPUs of this machine.
    """
    gang = scaled["spec"]
    here = _gang_of(gang["nodes"], gang["gpusPerNode"], gang["processesPerNode"])
    asked = gang_text(spec)
    options = f"--nodes {spec.nodes} --processes-per-node {spec.local_world_size}"
    if spec.gpus_per_node and have:
        options = f"--nodes {max(1, min(spec.nodes, have // spec.gpus_per_node))}"
    return f"here the gang is {here}, and the manifest's is {asked}: try {options}"


def gang_text(spec: JobSpec) -> str:
    """The gang in words."""
    return _gang_of(spec.nodes, spec.gpus_per_node, spec.processes_per_node)


def _gang_of(nodes: int, gpus: int, processes: int) -> str:
    unit = "GPU" if gpus else "CPU process"
    count = gpus or processes
    plural = ("s" if unit == "GPU" else "es") if count > 1 else ""
    return f"{nodes} {'node' if nodes == 1 else 'nodes'} x {count} {unit}{plural}"
