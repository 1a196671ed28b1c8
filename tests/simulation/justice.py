"""Which phase the pods justify, said once more in the test's own words."""

from __future__ import annotations

from simulation.world import World, going, label

from llmtrain_api.names import LABEL_RANK


def unjustified(world: World) -> str | None:
    """What is wrong with the phase on record, long after the last change; None when nothing is."""
    status, job = world.status(), world.job()
    phase = status.get("phase")
    if job is None or phase in ("Succeeded", "Failed"):
        return None
    if phase is None:
        return "the job has no phase"
    gang = world.gang()
    phases = [p["status"]["phase"] for p in gang]
    if any(going(p) for p in gang) or "Failed" in phases:
        return f"{phase}: a pod of attempt {status['attempt']} is lost, and no attempt follows: {phases}"
    attempt = status["attempts"][-1]
    if "createdAt" in attempt and len(gang) < job["spec"]["nodes"]:
        return f"{phase}: pods of attempt {status['attempt']} are missing, and no attempt follows"
    old = [p["metadata"]["name"] for p in world.pods() if p not in gang]
    if len(gang) < job["spec"]["nodes"] and not old:
        return f"{phase}: {len(gang)} of {job['spec']['nodes']} pods were created, and nothing is in the way"
    if len(gang) < job["spec"]["nodes"]:
        return None
    first = next(p["status"]["phase"] for p in gang if label(p, LABEL_RANK) == "0")
    if first == "Succeeded":
        return f"{phase}, though rank 0 is done"
    if set(phases) <= {"Running", "Succeeded"}:
        return None if phase == "Running" else f"{phase}, though all pods run"
    return None if phase in ("Starting", "Restarting", "Running") else f"{phase}, though {phases}"
