"""A static ReadWriteMany volume: one host folder that every node sees, bound to the claim `checkpoints`."""

from __future__ import annotations

import json
from typing import Any

from barecluster import api
from barecluster.settings import Settings

CLAIM, NAMESPACE, VOLUME = "checkpoints", "default", "llmtrain-checkpoints"
_SIZE = {"storage": "100Gi"}  # never measured: the folder has what its file system has


def objects(folder: str) -> list[dict[str, Any]]:
    """The volume and its claim, each naming the other, so that no provisioner is needed."""
    modes = ["ReadWriteMany"]
    volume = {
        "capacity": _SIZE,
        "accessModes": modes,
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "hostPath": {"path": folder, "type": "Directory"},
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": NAMESPACE,
            "name": CLAIM,
        },
    }
    claim = {
        "accessModes": modes,
        "resources": {"requests": _SIZE},
        "storageClassName": "",
        "volumeName": VOLUME,
    }
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": VOLUME}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": NAMESPACE},
            "spec": claim,
        },
    ]


def ensure(settings: Settings) -> None:
    """Have the folder and both objects; the claim becomes Bound soon after."""
    settings.volume.mkdir(parents=True, exist_ok=True)
    settings.volume.chmod(0o777)  # fsGroup does not act on a hostPath volume, and jobs do not run as root
    found = api.get(settings, "persistentvolume", VOLUME)
    phase = found["status"].get("phase") if found else None
    if found and phase == "Released":  # its claim was deleted: let the next one have it
        forget = [{"op": "remove", "path": f"/spec/claimRef/{field}"} for field in ("uid", "resourceVersion")]
        api.kubectl(settings, "patch", "pv", VOLUME, "--type=json", "-p", json.dumps(forget))
    if phase != "Bound":
        api.apply(settings, objects(str(settings.volume)))
