"""A namespace of its own on the two-node cluster, with a shared volume."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster import Cluster, Namespace, shared_volume, wait_for


@contextmanager
def namespace_with_volume() -> Iterator[Namespace]:
    """A namespace with a shared claim of its own, under Pod Security ``restricted``."""
    cluster = Cluster({"KUBECONFIG": os.environ["KUBECONFIG"], "PATH": os.environ["PATH"]})
    name = f"e2e-{uuid.uuid4().hex[:6]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.call("POST", "/api/v1/namespaces", body)
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
            "claimRef": {"namespace": name, "name": "checkpoints"},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "checkpoints"},
        "spec": {**common, "volumeName": name, "resources": {"requests": {"storage": "10Gi"}}},
    }
    cluster.call("POST", "/api/v1/persistentvolumes", pv)
    cluster.call("POST", f"/api/v1/namespaces/{name}/persistentvolumeclaims", claim)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for("default ServiceAccount", lambda: cluster.get(account))
    try:
        yield Namespace(cluster, name)
    finally:
        cluster.call("DELETE", f"/api/v1/namespaces/{name}")
        cluster.call("DELETE", f"/api/v1/persistentvolumes/{name}")
