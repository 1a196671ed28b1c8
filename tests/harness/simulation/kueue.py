"""A Kueue in a few lines: one queue with CPUs, one flavor, preemption by priority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.simulation.podview import NAMESPACE, alive
from harness.simulation.queue_monitor import cpus
from harness.simulation.virtual import at_once

from llmtrain_api import to_rfc3339
from llmtrain_api.names import LABEL_JOB_UID
from llmtrain_operator.kube.api import Object

if TYPE_CHECKING:
    from harness.simulation.world import World

QUEUE = "team"
FLAVOR = "a100"
NODE_LABELS = {"pool": "a100"}
TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
EVERY_SECONDS = 1.0


def conditions(workload: Object) -> dict[str, Object]:
    return {c["type"]: c for c in workload.get("status", {}).get("conditions", [])}


def is_true(workload: Object, kind: str) -> bool:
    return bool(conditions(workload).get(kind, {}).get("status") == "True")


def reserves(workload: Object) -> bool:
    """Whether its quota counts."""
    return is_true(workload, "QuotaReserved") and not is_true(workload, "Finished")


def asked(workload: Object) -> float:
    """CPUs of all its pods."""
    found = 0.0
    for pods in workload["spec"]["podSets"]:
        for container in pods["template"]["spec"]["containers"]:
            found += pods["count"] * cpus(str(container["resources"]["requests"]["cpu"]))
    return found


class FakeKueue:
    """The controller. It stands still until `open`.

    Attributes:
        quota: CPUs of the queue.
        checks: what an admission check says of each: ``Ready`` or ``Pending``; none = there is no check.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.quota: float | None = None
        self.checks: str = ""
        self.stopped = False

    def open(self, quota: float) -> None:
        """From now on, a queue of that many CPUs."""
        first = self.quota is None
        self.quota = quota
        if first:
            body = {
                "metadata": {"name": FLAVOR},
                "spec": {"nodeLabels": NODE_LABELS, "tolerations": [TAINT]},
            }
            at_once(self._world.api.create("resourceflavors", "", body))
            self._later()

    def _later(self) -> None:
        self._world.loop.call_later(EVERY_SECONDS, self._step)

    def _step(self) -> None:
        if not self.stopped:
            self.step()
        self._later()

    def workloads(self) -> list[Object]:
        return self._world.api.all_of("workloads")

    def step(self) -> None:
        """Take back what was deactivated; let in who fits, the most urgent and oldest first."""
        for workload in self.workloads():
            if workload["spec"].get("active") is False and not is_true(workload, "Evicted"):
                self.evict(workload["metadata"]["name"], "Deactivated", "The workload is deactivated")
        waiting = [w for w in self.workloads() if self._waits(w)]
        for workload in sorted(waiting, key=lambda w: (-w["spec"]["priority"], w["metadata"]["uid"])):
            self._let_in(workload)

    @staticmethod
    def _waits(workload: Object) -> bool:
        active = workload["spec"].get("active") is not False
        return active and not reserves(workload) and not is_true(workload, "Finished")

    def _let_in(self, workload: Object) -> None:
        assert self.quota is not None
        if workload["spec"]["queueName"] != QUEUE:
            text = f"LocalQueue {workload['spec']['queueName']} doesn't exist"
            self._set(workload, QuotaReserved=("False", "Misconfigured", text))
            return
        holders = [w for w in self.workloads() if reserves(w)]
        free = self.quota - sum(map(asked, holders))
        if asked(workload) > free:
            self._make_room(workload, holders)
            missing = asked(workload) - free
            text = f"insufficient unused quota for cpu in flavor {FLAVOR}, {missing:g} more needed"
            self._set(workload, QuotaReserved=("False", "WaitingForQuota", text))
            return
        assigned = {"name": "worker", "flavors": {"cpu": FLAVOR, "memory": FLAVOR}}
        admission = {"clusterQueue": "all", "podSetAssignments": [assigned]}
        facts = {"QuotaReserved": ("True", "QuotaReserved", "Quota reserved in ClusterQueue all")}
        if "Evicted" in conditions(workload):
            facts["Evicted"] = ("False", "QuotaReserved", "Previously: it was")
        checks = [{"name": "provision", "state": self.checks, "message": "asked"}] if self.checks else None
        if self.checks in ("", "Ready"):
            facts["Admitted"] = ("True", "Admitted", "The workload is admitted")
        self._set(workload, admission=admission, checks=checks, **facts)

    def _make_room(self, workload: Object, holders: list[Object]) -> None:
        lower = [w for w in holders if w["spec"]["priority"] < workload["spec"]["priority"]]
        if lower and not any(is_true(w, "Evicted") for w in holders):
            self.evict(lower[0]["metadata"]["name"], "Preempted", "Preempted to accommodate a workload")

    def evict(self, name: str, reason: str, message: str) -> None:
        """Ask for the room of a Workload. Whoever made it gives it back."""
        workload = self._world.api.peek("workloads", NAMESPACE, name)
        if workload is not None and not is_true(workload, "Finished"):
            self._set(workload, Evicted=("True", reason, message))

    def deactivate(self, name: str, active: bool = False) -> None:
        """A person does."""
        self._world.timeline.tell(self._world.now(), "admin", f"sets active of {name} to {active}")
        workload = self._world.api.peek("workloads", NAMESPACE, name)
        assert workload is not None
        self._world.api.replace_spec("workloads", NAMESPACE, name, {**workload["spec"], "active": active})

    def delete(self, name: str) -> None:
        """A person does."""
        workload = self._world.api.peek("workloads", NAMESPACE, name)
        assert workload is not None
        self._world.monitor.kueue.by_person.add(workload["metadata"]["uid"])
        at_once(self._world.api.delete("workloads", NAMESPACE, name, workload["metadata"]["uid"], 0))

    def _set(
        self,
        workload: Object,
        admission: Object | None = None,
        checks: list[Object] | None = None,
        **facts: tuple[str, str, str],
    ) -> None:
        found = conditions(workload)
        before = {kind: (c["status"], c["reason"], c["message"]) for kind, c in found.items()}
        if all(before.get(kind) == fact for kind, fact in facts.items()) and admission is None:
            return
        moment = to_rfc3339(self._world.clock())
        for kind, (status, reason, message) in facts.items():
            found[kind] = {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": moment,
            }
        new: Object = {"conditions": list(found.values())}
        if admission is not None:
            new["admission"] = admission
        if checks is not None:
            new["admissionChecks"] = checks
        meta = workload["metadata"]
        self._world.timeline.tell(self._world.now(), "kueue", f"{meta['name']}: {facts}")
        at_once(self._world.api.patch_status("workloads", NAMESPACE, meta["name"], {"status": new}))


class KueueMonitor:
    """What must never happen to gangs in a queue of Kueue's: pods only on quota, and on the nodes given."""

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        self.workloads: dict[str, Object] = {}
        self.by_person: set[str] = set()

    def _of(self, uid: str) -> list[Object]:
        return [w for w in self.workloads.values() if w["metadata"]["labels"][LABEL_JOB_UID] == uid]

    def changed(self, kind: str, workload: Object) -> None:
        """A Workload comes, changes or goes."""
        meta = workload["metadata"]
        old = self.workloads.pop(meta["uid"], None)
        if kind != "DELETED":
            self.workloads[meta["uid"]] = workload
        job = meta["labels"][LABEL_JOB_UID]
        gave_back = old is not None and reserves(old) and (kind == "DELETED" or not reserves(workload))
        if gave_back and meta["uid"] not in self.by_person and job in self._monitor.jobs:
            left = [p["metadata"]["name"] for p in self._pods(job)]
            self._monitor.must(not left, f"the quota of {meta['name']} is given back under {left}")
        same = [w["metadata"]["name"] for w in self._of(job) if reserves(w)]
        self._monitor.must(len(same) < 2, f"one gang holds quota twice: {same}")

    def _pods(self, uid: str) -> list[Object]:
        pods = self._monitor.pods.values()
        return [p for p in pods if p["metadata"]["labels"][LABEL_JOB_UID] == uid and alive(p)]

    def pod_added(self, pod: Object, job: Object) -> None:
        """A rank of a job that waits in a queue of Kueue's."""
        name, held = pod["metadata"]["name"], job["status"].get("placement", {}).get("workload")
        by_person = self.by_person
        found = [w for w in self._of(job["metadata"]["uid"]) if w["metadata"]["name"] == held]
        self._monitor.must(
            bool(by_person) or any(map(reserves, found)), f"pod {name} without quota of Workload {held}"
        )
        selector, tolerations = pod["spec"].get("nodeSelector", {}), pod["spec"]["tolerations"]
        on_flavor = selector.items() >= NODE_LABELS.items() and TAINT in tolerations
        self._monitor.must(on_flavor, f"pod {name} is not for the nodes that Kueue gave: {selector}")
