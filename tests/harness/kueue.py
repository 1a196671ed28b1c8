"""Kueue's own controllers beside a control plane, and the queues and Workloads that tests look at."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from barecluster import build
from barecluster.settings import cache_root
from harness.cluster import Cluster, Namespace, Object, wait_for

API = "kueue.x-k8s.io/v1beta2"
ROOT = f"/apis/{API}"
KINDS = ("workloads", "workloads/status", "clusterqueues", "localqueues", "resourceflavors")


@contextmanager
def kueue_beside(cluster: Cluster, log: Path) -> Iterator[None]:
    """Kueue's kinds in the API server, and its controllers and scheduler as a process meanwhile."""
    [folder] = build.ensure(["kueue"], cache_root())
    cluster.kubectl("apply", "--server-side", "-f", str(folder / "files"))
    cluster.wait_served(API, *KINDS)
    with log.open("ab") as out:
        environment = {**os.environ, "KUBECONFIG": cluster.environment["KUBECONFIG"]}
        process = subprocess.Popen([folder / "kueue"], env=environment, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
        print(log.read_text()[-6000:])


def remove_kinds(cluster: Cluster) -> None:
    """Kueue's kinds go again; its controllers let go of the objects that are left."""
    names = cluster.kubectl("get", "crd", "-o", "name").stdout.split()
    cluster.kubectl("delete", *(name for name in names if name.endswith(f".{API.partition('/')[0]}")))


def _make(cluster: Cluster, path: str, kind: str, name: str, spec: Object) -> None:
    cluster.call("POST", path, {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec})


def make_queue(namespace: Namespace, cpus: int, nodes: Object) -> None:
    """The LocalQueue `team` of a ClusterQueue of that many CPUs, where the more urgent takes the room.

    Args:
        namespace: whose queue it is.
        cpus: its quota.
        nodes: those that its flavor stands for.
    """
    cluster, name = namespace.cluster, namespace.name
    _make(cluster, f"{ROOT}/resourceflavors", "ResourceFlavor", name, nodes)
    amounts = [{"name": "cpu", "nominalQuota": cpus}, {"name": "memory", "nominalQuota": "64Gi"}]
    group = {"coveredResources": ["cpu", "memory"], "flavors": [{"name": name, "resources": amounts}]}
    spec: dict[str, Any] = {
        "namespaceSelector": {},
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [group],
    }
    _make(cluster, f"{ROOT}/clusterqueues", "ClusterQueue", name, spec)
    _make(cluster, f"{ROOT}/namespaces/{name}/localqueues", "LocalQueue", "team", {"clusterQueue": name})


def remove_queue(namespace: Namespace) -> None:
    """All that `make_queue` made; Kueue lets go of it while it runs."""
    cluster, name = namespace.cluster, namespace.name
    paths = (
        f"{ROOT}/namespaces/{name}/localqueues/team",
        f"{ROOT}/clusterqueues/{name}",
        f"{ROOT}/resourceflavors/{name}",
    )
    for path in paths:
        if cluster.get(path) is not None:
            cluster.call("DELETE", path)
    for path in paths:
        wait_for(f"{path} is gone", lambda path=path: cluster.get(path) is None, 60)  # type: ignore[misc]


def workload(namespace: Namespace, name: str) -> Object | None:
    """The Workload of that name, if it is there."""
    return namespace.cluster.get(f"{ROOT}/namespaces/{namespace.name}/workloads/{name}")


def condition(namespace: Namespace, name: str, kind: str) -> bool:
    """Whether that condition of a Workload is true."""
    found = (workload(namespace, name) or {}).get("status", {}).get("conditions", [])
    return any(c["type"] == kind and c["status"] == "True" for c in found)


@contextmanager
def urgent_class(namespace: Namespace) -> Iterator[str]:
    """A class of priority above that of jobs without one."""
    classes, name = "/apis/scheduling.k8s.io/v1/priorityclasses", namespace.name
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}}
    namespace.cluster.call("POST", classes, {**body, "value": 1000})
    try:
        yield name
    finally:
        namespace.cluster.call("DELETE", f"{classes}/{name}")
