"""What must never happen to jobs that share nodes, said once more in the test's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.simulation.podview import size_of

from llmtrain_operator.kube.api import Object

if TYPE_CHECKING:
    from harness.simulation.monitor import Monitor

HOLDING = ("Starting", "Running", "Restarting")
REMEMBERED_SECONDS = 70.0
"""How long a node that is gone still counts: a yes of the queue stands for a minute, by what was seen."""
MOST_PODS = 12
"""Of more pods not all ways to place them are gone through."""


def cpus(text: str) -> float:
    """A quantity of CPUs as these tests write it."""
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def of_pod(job: Object) -> float:
    """CPUs of each of a job's pods."""
    return cpus(str(job["spec"].get("resources", {}).get("cpu", "1")))


def placeable(free: list[float], pods: list[float]) -> bool:
    """Whether each pod finds a node, by going through all ways, the largest first."""
    if not pods:
        return True
    first, rest = pods[0], pods[1:]
    tried = set()
    for number, room in enumerate(free):
        if room >= first and room not in tried:
            tried.add(room)
            if placeable([*free[:number], room - first, *free[number + 1 :]], rest):
                return True
    return False


class QueueMonitor:
    """Sees each status of each job, and each pod that comes."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self.nodes: dict[str, float] = {}
        self.gone: dict[str, tuple[float, float]] = {}
        self.watches = True
        self.admitted: list[str] = []

    def node(self, kind: str, node: Object) -> None:
        """A node comes, changes or goes."""
        name = node["metadata"]["name"]
        if kind == "DELETED":
            self.gone[name] = self._monitor.now(), self.nodes.pop(name, 0.0)
        else:
            self.nodes[name] = cpus(str(node["status"]["allocatable"]["cpu"]))
            self.gone.pop(name, None)

    def _just_gone(self) -> list[float]:
        """CPUs of nodes of which the operator may not have heard that they are gone."""
        now = self._monitor.now()
        return [room for since, room in self.gone.values() if now - since < REMEMBERED_SECONDS]

    def status(self, job: Object, before: dict[str, Any], after: dict[str, Any]) -> None:
        """All gangs that were let in can be on the nodes together."""
        held = before.get("phase") in HOLDING and before.get("attempt") is not None
        holds = after.get("phase") in HOLDING and after.get("attempt") is not None
        if held or not holds:
            return
        self.admitted.append(job["metadata"]["name"])
        gangs = [j for j in self._monitor.jobs.values() if _holds(j)]
        pods = sorted((of_pod(j) for j in gangs for _ in range(size_of(j))), reverse=True)
        if not self.watches or len(pods) > MOST_PODS:
            return
        names = [j["metadata"]["name"] for j in gangs]
        self._monitor.must(
            placeable([*self.nodes.values(), *self._just_gone()], pods),
            f"{names} were let in, but pods of {pods} CPUs do not fit on nodes of {self.nodes}",
        )

    def pod_added(self, name: str, status: dict[str, Any]) -> None:
        """A job in the queue has no pods."""
        self._monitor.must(
            status.get("phase") != "Queued", f"pod {name} created while its job is in the queue"
        )


def _holds(job: Object) -> bool:
    status = job.get("status") or {}
    going = "deletionTimestamp" in job["metadata"]
    return status.get("phase") in HOLDING and status.get("attempt") is not None and not going
