"""Which phase the pods justify, said once more in the test's own words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from harness.simulation.podview import alive, going, label, owner, phase_of, size_of
from harness.simulation.world import World

from llmtrain_api.names import LABEL_RANK
from llmtrain_operator.kube.api import Object

BACKOFF_SLACK = 10.0
"""Seconds that a look at a job may come late."""
"""More than the wait after two gangs that did not get up."""


def unjustified(world: World, *, soon: bool = False) -> str | None:
    """What is wrong with the phase on record, long after the last change; None when nothing is.

    Args:
        world: to be judged.
        soon: a node's kubelet may not have confirmed yet that a pod is gone.
    """
    status, job = world.status(), world.job()
    phase = status.get("phase")
    if job is None or phase in ("Succeeded", "Failed"):
        return None
    if job["spec"].get("suspend") and not _refused(world):
        return _not_suspended(world, str(phase), soon=soon)
    if phase in (None, "Pending"):
        return _not_begun(world)
    if phase in ("Inspecting", "Preparing"):
        return _nothing_prepares(world)
    if not status["attempts"]:
        # before the first; pods of an earlier job of that name may have its room
        return None if world.pods() else f"{phase}: nothing is in the way of the first gang"
    gang, nodes = world.gang(), size_of(job)
    if status["attempts"][-1].get("reason") == "Resized":
        return None if any(map(going, gang)) else f"{phase}: to be resized, and nothing goes"
    if phase == "Queued" and _gave_back_just_now(world, status):
        return None
    why = _lost(gang, status["attempts"][-1], nodes)
    if why is None and len(gang) < nodes:
        in_the_way = [p for p in world.pods() if p not in gang]
        why = None if in_the_way else f"{len(gang)} of {nodes} pods, and nothing is in the way"
    elif why is None:
        why = _children_missing(world, status["attempt"]) or _of_whole_gang(str(phase), gang)
    return why and f"{phase}: {why}"


def _not_suspended(world: World, phase: str, *, soon: bool) -> str | None:
    """Pods of an earlier job of that name are not this one's; those that go are waited for."""
    uid = world.job()["metadata"]["uid"]  # type: ignore[index]
    own = [p for p in world.pods() if uid in (o["uid"] for o in p["metadata"].get("ownerReferences", []))]
    left = [p for p in own if alive(p)]
    if (phase == "Suspended" and not left) or (soon and phase == "Suspending" and all(map(going, left))):
        return None
    return f"to be suspended, and {phase} with {[p['metadata']['name'] for p in left]}"


def model_refused(world: World) -> bool:
    """Whether the inspection of the model ended the job, until somebody edits it."""
    conditions = world.status().get("conditions", [])
    return any((c["type"], c["reason"]) == ("Accepted", "ModelRefused") for c in conditions)


def _nothing_prepares(world: World) -> str | None:
    record = world.status()["setup"]
    name = f"tiny-{record['stage']}-{record['number']}"
    found = [p for p in world.setup_pods() if p["metadata"]["name"] == name]
    if any(alive(p) and not going(p) for p in found):
        return None
    others = [p["metadata"]["name"] for p in world.pods() if alive(p) or going(p)]
    return None if others and not found else f"{name} is not there or ended, and nothing follows: {record}"


def _not_begun(world: World) -> str | None:
    status = world.status()
    accepted = [c["status"] for c in status.get("conditions", []) if c["type"] == "Accepted"]
    wrong = _refused(world) or model_refused(world)
    right = wrong and accepted == ["False"] and not world.gang() and not any(map(alive, world.setup_pods()))
    return None if right else f"{status.get('phase')}, Accepted {accepted}, {len(world.gang())} pods"


def _refused(world: World) -> bool:
    job = world.job()
    return job is not None and bool(job["spec"]["output"]["uri"].startswith("file:"))


def _gave_back_just_now(world: World, status: dict[str, Any]) -> bool:
    """Whether it waits for itself, as its last gangs did not get up: 5, 10, 20 ... 300 s, at most a quarter
    more."""
    attempts = status["attempts"]
    late = 0
    while late + 1 < len(attempts) and attempts[-late - 2].get("reason") in ("StartDeadline", "NoRoom"):
        late += 1
    since = datetime.fromisoformat(attempts[-1]["startedAt"])
    most = min(5.0 * 2.0 ** (late - 1), 300.0) * 1.25 + BACKOFF_SLACK
    return late > 0 and abs((world.operator_clock() - since).total_seconds()) < most


def _lost(gang: list[Object], attempt: dict[str, Any], nodes: int) -> str | None:
    phases = [phase_of(p) for p in gang]
    if any(going(p) for p in gang) or "Failed" in phases:
        return f"a pod of attempt {attempt['number']} is lost, and no attempt follows: {phases}"
    if "createdAt" in attempt and len(gang) < nodes:
        return f"pods of attempt {attempt['number']} are missing, and no attempt follows"
    return None


def _of_whole_gang(phase: str, gang: list[Object]) -> str | None:
    phases = [phase_of(p) for p in gang]
    first = next(phase_of(p) for p in gang if label(p, LABEL_RANK) == "0")
    if first == "Succeeded":
        return "rank 0 is done"
    if set(phases) <= {"Running", "Succeeded"}:
        return None if phase == "Running" else "all pods run"
    return None if phase in ("Starting", "Restarting", "Running") else str(phases)


def _children_missing(world: World, attempt: int) -> str | None:
    uid = world.job()["metadata"]["uid"]  # type: ignore[index]
    for resource, name in (("services", "tiny-master"), ("configmaps", f"tiny-{attempt}")):
        found = world.api.peek(resource, "default", name)
        if found is None or owner(found) != uid:
            return f"{resource} {name} is not there, or not this job's"
    return None
