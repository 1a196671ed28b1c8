"""What a no of the API server means: a verdict on the job, or something that may pass."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from llmtrain_api import Failure, FailureClass

from ..types import Refusal, RefusalKind
from .situation import Situation

PATIENCE = timedelta(hours=1)
"""How long what may pass is waited for, while the job has no checkpoint that waiting would save."""
CHANGE = "change the job, the namespace's limits or its Pod Security level, then apply it again"
LIMITS = "bring spec.resources (cpu, cpuLimit, memory) within the namespace's LimitRange, or change it"
CPU_RANGE = (
    "bring spec.resources.cpu and cpuLimit within the namespace's LimitRange, or change the LimitRange"
)
MEMORY_RANGE = "bring spec.resources.memory within the namespace's LimitRange, or change the LimitRange"
CPU_DEFAULT = (
    "the namespace's LimitRange gives containers a CPU limit below their request: set "
    "spec.resources.cpuLimit to at least resources.cpu, or lower resources.cpu"
)
CPU_WANTED = "the namespace's quota wants a CPU limit: set spec.resources.cpuLimit to at least resources.cpu"
DISK_WANTED = (
    "the namespace's quota wants a request and limit of the node's disk: whoever runs the operator sets "
    "trainer.scratch.request and trainer.scratch.sizeLimit of its chart"
)
DEFAULTS = (
    "the namespace's quota wants limits that no field of a job gives: "
    "add a LimitRange with defaults for them to the namespace, or take them out of the quota"
)
SECURITY = "set the namespace's label pod-security.kubernetes.io/enforce to restricted or less"
HOST_NETWORK = (
    "remove spec.hostNetwork, or set the namespace's label pod-security.kubernetes.io/enforce to privileged"
)
RIGHTS = "give the operator's ServiceAccount its rights back (helm upgrade of the chart does)"
CONSTRAINT = (
    "pods run as user 1000: on OpenShift, let the namespace's default ServiceAccount use the SCC nonroot-v2"
)
ACCOUNT = "create that ServiceAccount in the job's namespace, or correct spec.serviceAccountName"
PRIORITY = (
    "create that PriorityClass, or correct spec.priorityClassName (trainer.priorityClassName of the chart)"
)
NOT_SERVED = (
    "the cluster does not serve an API that queue.provider of the operator's chart needs: install what "
    "serves it, or choose another provider"
)
PRIORITY_QUOTA = "set spec.priorityClassName to a class that the namespace has a quota for"
_VERDICTS = {
    "violates PodSecurity.*hostNetwork": HOST_NETWORK,
    "violates PodSecurity": SECURITY,
    r"limits\.cpu for: ([^;]*,)?trainer\b": CPU_WANTED,
    r"(limits|requests)\.ephemeral-storage for: ([^;]*,)?trainer\b": DISK_WANTED,
    "must specify limits": DEFAULTS,
    "must specify requests": DEFAULTS,
    "less than or equal to cpu limit": CPU_DEFAULT,
    "cpu usage per|cpu max limit to request ratio": CPU_RANGE,
    "memory usage per|memory max limit to request ratio": MEMORY_RANGE,
    "usage per Container is": LIMITS,
    "usage per Pod is": LIMITS,
    "limit to request ratio": LIMITS,
    "must be less than or equal to": LIMITS,
}
"""What a message must match, with what helps; the first that matches is told."""
_PASSING = {
    "looking up service account": ACCOUNT,
    "no PriorityClass with name": PRIORITY,
    "insufficient quota to match these scopes": PRIORITY_QUOTA,
    "cannot create resource": RIGHTS,
    "security context constraint": CONSTRAINT,
    "denied the request": "change what the policy of the cluster asks for, or ask whoever runs it",
}


def classify(status: int, message: str) -> Refusal | None:
    """A no that the user may have to hear of; None for what is simply tried again: no answer at all.

    Only the API server's own rules over the pod are a verdict. All other refusals hang on rights, quotas,
    ServiceAccounts and webhooks, which come and go.
    """
    if status == 403 and "exceeded quota" in message:
        return Refusal(RefusalKind.QUOTA, message)
    if status == 403 and "is being terminated" in message:
        return Refusal(RefusalKind.NAME_CONFLICT, message)
    hint = _first(_VERDICTS, message)
    if status == 422 or (status == 403 and hint):
        return Refusal(RefusalKind.REJECTED, message, hint or CHANGE)
    if status in (400, 403):
        return Refusal(RefusalKind.FORBIDDEN, message, _first(_PASSING, message))
    if status == 404 and re.search("page not found|could not find the requested resource", message):
        return Refusal(RefusalKind.UNAVAILABLE, message, NOT_SERVED)
    if status == 0 or (status == 409 and _moved(message)):
        return None
    return Refusal(RefusalKind.UNAVAILABLE, message)


def _moved(message: str) -> bool:
    """Whether somebody wrote at the same moment, as quotas make happen often: asked again, it is done."""
    return "please apply your changes to the latest version" in message


def _first(hints: dict[str, str], message: str) -> str | None:
    return next((hint for pattern, hint in hints.items() if re.search(pattern, message)), None)


def counted(before: Refusal | None, now: Refusal | None) -> Refusal | None:
    """The newest answer, with whether the one before was a no of the same kind."""
    if now is None or before is None or before.kind is not now.kind:
        return now
    return replace(now, repeated=True)


def verdict(s: Situation) -> Failure | None:
    """The end of a job whose pods are refused for good; None while waiting may help.

    What a job has reached is not given up for a refusal: with a checkpoint it waits, however long.
    """
    refusal = s.seen.refusal
    if refusal is None or s.status.checkpoint is not None:
        return None
    final = refusal.kind is RefusalKind.REJECTED and not s.attempt
    if not final and not _out_of_patience(s, refusal):
        return None
    return Failure(
        failure_class=FailureClass.CONFIG_ERROR,
        message=f"the API server refused a pod of this job: {refusal.message}"[:4096],
        hint=refusal.hint or CHANGE,
    )


def _out_of_patience(s: Situation, refusal: Refusal) -> bool:
    waiting = s.status.waiting
    if refusal.kind not in (RefusalKind.REJECTED, RefusalKind.FORBIDDEN):
        return False
    if waiting is None or waiting.since is None or waiting.reason != refusal.kind.value:
        return False
    return s.now - waiting.since >= PATIENCE
