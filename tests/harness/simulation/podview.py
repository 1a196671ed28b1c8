"""What a pod in the API says, read once more in the test's own words."""

from __future__ import annotations

from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_RANK
from llmtrain_operator.kube.api import Object

NAMESPACE = "default"
SIDECAR = "a-proxy"


def label(pod: Object, name: str) -> str:
    return str(pod["metadata"]["labels"][name])


def owner(pod: Object) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def going(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def phase_of(pod: Object) -> str:
    """The phase of its trainer: other containers may run on."""
    for container in pod["status"].get("containerStatuses") or []:
        ended = container["state"].get("terminated") if container["name"] == "trainer" else None
        if ended is not None:
            return "Failed" if ended["exitCode"] else "Succeeded"
    return str(pod["status"]["phase"])


def is_rank(pod: Object) -> bool:
    """Whether the operator made it."""
    meta = pod["metadata"]
    labels = meta["labels"]
    controlled = any(o.get("controller") for o in meta.get("ownerReferences", []))
    name = f"{labels.get(LABEL_JOB)}-{labels.get(LABEL_ATTEMPT)}-{labels.get(LABEL_RANK)}"
    return controlled and meta["namespace"] == NAMESPACE and meta["name"] == name
