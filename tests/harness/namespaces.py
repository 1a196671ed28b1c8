"""A namespace of its own on the two-node cluster, with a shared volume."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster import Cluster, Namespace, shared_volume, wait_for


def administrator() -> Cluster:
    """The cluster that the layer's environment names, as its administrator."""
    return Cluster({"KUBECONFIG": os.environ["KUBECONFIG"], "PATH": os.environ["PATH"]})


def add_volume(cluster: Cluster, namespace: str, name: str, claim: str = "checkpoints") -> None:
    """Give a namespace a claim on a new folder of all nodes.

    Args:
        cluster: where it is.
        namespace: whose claim it is.
        name: of the folder and of the volume.
        claim: its name.
    """
    folder = shared_volume(cluster) / name
    folder.mkdir()
    folder.chmod(0o777)
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    pv = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **common,
            "capacity": {"storage": "10Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": namespace, "name": claim},
        },
    }
    asked = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim},
        "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": "10Gi"}}},
    }
    cluster.call("POST", "/api/v1/persistentvolumes", pv)
    cluster.call("POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", asked)


@contextmanager
def namespace_with_volume() -> Iterator[Namespace]:
    """A namespace with a shared claim of its own, under Pod Security ``restricted``."""
    cluster = administrator()
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.call("POST", "/api/v1/namespaces", body)
    add_volume(cluster, name, name)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for("default ServiceAccount", lambda: cluster.get(account))
    try:
        yield Namespace(cluster, name)
    finally:
        cluster.call("DELETE", f"/api/v1/namespaces/{name}")
        cluster.call("DELETE", f"/api/v1/persistentvolumes/{name}")
