"""What a pod in the API says, read once more in the test's own words."""

from __future__ import annotations

from llmtrain_api.names import KIND, LABEL_ATTEMPT, LABEL_JOB, LABEL_RANK, LABEL_STAGE
from llmtrain_operator.kube.api import Object

NAMESPACE = "default"
SIDECAR = "a-proxy"


def label(pod: Object, name: str) -> str:
    return str(pod["metadata"]["labels"].get(name, ""))


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


def size_of(job: Object) -> int:
    """Pods of the gang on record; before there is one, as many as the job wants."""
    workers = (job.get("status") or {}).get("workers") or {}
    return int(workers.get("desired", job["spec"]["nodes"]))


def cpus_of(pod: Object) -> float:
    """CPUs that it requests."""
    asked = (c.get("resources", {}).get("requests", {}).get("cpu", "0") for c in pod["spec"]["containers"])
    return sum(float(t.removesuffix("m")) / (1000 if t.endswith("m") else 1) for t in asked)


def controlled(pod: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences", [])
    return any(o.get("controller") and o.get("kind") == KIND for o in owners)


def is_rank(pod: Object) -> bool:
    """Whether the operator made it."""
    meta = pod["metadata"]
    labels = meta["labels"]
    name = f"{labels.get(LABEL_JOB)}-{labels.get(LABEL_ATTEMPT)}-{labels.get(LABEL_RANK)}"
    return controlled(pod) and meta["namespace"] == NAMESPACE and meta["name"] == name


def setup_number(pod: Object) -> int | None:
    """The number of a pod that runs before the gang; None for any other pod."""
    meta = pod["metadata"]
    name = f"{meta['labels'].get(LABEL_JOB)}-{meta['labels'].get(LABEL_STAGE)}-"
    number = meta["name"].removeprefix(name)
    made = controlled(pod) and meta["namespace"] == NAMESPACE and meta["name"].startswith(name)
    return int(number) if made and number.isdigit() else None


def alive(pod: Object) -> bool:
    return phase_of(pod) not in ("Succeeded", "Failed")
