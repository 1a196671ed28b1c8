"""What must never happen, checked at every change that the API takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.jobs import SETTINGS
from harness.simulation.kueue import KueueMonitor
from harness.simulation.podview import NAMESPACE, going, is_rank, phase_of, setup_number
from harness.simulation.queue_monitor import QueueMonitor
from harness.simulation.receiver import Receiver
from harness.simulation.setup_monitor import SetupMonitor
from harness.simulation.size_monitor import SizeMonitor
from harness.simulation.timeline import Timeline

from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB_UID, LABEL_RANK, PLURAL
from llmtrain_operator.kube.api import Object
from llmtrain_operator.local.memory_api import MemoryApi

SAVE_SECONDS = SETTINGS.grace_seconds
Created = tuple[str, int, int]
"""(job UID, attempt, rank)."""


class Broken(AssertionError):
    """An invariant does not hold."""


class Monitor:
    """Sees every change, in order; raises `Broken` at the first that must not be.

    A write that breaks an invariant is the operator's: nobody else creates pods or writes a job's status.
    """

    def __init__(self, timeline: Timeline, now: Callable[[], float]) -> None:
        self._timeline = timeline
        self.now = now
        self.pods: dict[str, Object] = {}
        self.jobs: dict[str, Object] = {}
        self.created: dict[Created, str] = {}
        self.created_again_blindly = 0
        self.saw_go: Callable[[str], bool] = lambda _: True
        self.damaged: set[tuple[str, int]] = set()
        self.given_back: dict[str, int] = {}
        self.over_since: dict[str, float] = {}
        self.broken: list[str] = []
        self.outlived: set[str] = set()
        """Pods that a process sent before it died, carried out when another attempt may be on record."""
        self.setup = SetupMonitor(self)
        self.gangs = QueueMonitor(self)
        self.kueue = KueueMonitor(self)
        self.sizes = SizeMonitor(self)
        self.receiver = Receiver(self)
        self.by_operator = 0

    def changed(self, resource: str, kind: str, found: Object) -> None:
        """One change."""
        if resource == PLURAL:
            self._job(kind, found)
        elif resource == "pods":
            self._pod(kind, found)
        elif resource == "nodes":
            self.gangs.node(kind, found)
        elif resource == "workloads":
            self.kueue.changed(kind, found)

    def must(self, holds: bool, message: str) -> None:
        if not holds:
            self.broken.append(message)
            self._timeline.tell(self.now(), "BROKEN", message)

    # -- pods ---------------------------------------------------------------------------------------------

    def _pod(self, kind: str, pod: Object) -> None:
        meta = pod["metadata"]
        labels = meta["labels"]
        if (number := setup_number(pod)) is not None:
            self.setup.pod(kind, pod, number)
        if not is_rank(pod):
            return
        uid, attempt, rank = labels[LABEL_JOB_UID], int(labels[LABEL_ATTEMPT]), int(labels[LABEL_RANK])
        if kind == "ADDED":
            self._pod_added(meta, (uid, attempt, rank))
            if self.jobs.get(uid, {}).get("spec", {}).get("queueName"):
                self.kueue.pod_added(pod, self.jobs[uid])
        if kind == "DELETED":
            self.pods.pop(meta["uid"], None)
        else:
            self.pods[meta["uid"]] = pod
        if kind == "DELETED" or "deletionTimestamp" in meta or phase_of(pod) == "Failed":
            self.damaged.add((uid, attempt))

    def _pod_added(self, meta: Object, new: Created) -> None:
        name, (uid, attempt, rank) = meta["name"], new
        status = self.jobs.get(uid, {}).get("status", {})
        if uid in self.jobs:
            # a job that has just been deleted may still get a pod: the garbage collector takes it
            stands = status.get("phase") in ("Suspending", "Suspended")
            self.must(not stands, f"pod {name} created while the job is {status.get('phase')}")
            self.must(
                status.get("attempt") == attempt or name in self.outlived,
                f"pod {name} created while attempt {status.get('attempt')} is on record",
            )
            self.setup.must_be_over(uid, name)
            self.gangs.pod_added(name, status)
            self.sizes.pod_added(name, rank, status)
        if new in self.created:
            # a pod that came and went while no operator looked, before the gang was on record as created,
            # cannot be told from one that was never created
            record = (status.get("attempts") or [{}])[-1]
            known = "createdAt" in record or self.saw_go(self.created[new])
            self.must(not known, f"pod {name} was there before: its attempt number is used again")
            self.created_again_blindly += 1
        self.created[new] = meta["uid"]
        same = [p["metadata"]["name"] for p in self.pods.values() if _rank(p) == (uid, rank)]
        self.must(not same, f"pod {name} created while {same} of the same rank is there")

    def deleted_by_operator(self, resource: str, namespace: str, name: str, grace: int) -> None:
        """The operator deletes something."""
        if resource == "pods":
            self._pod_deleted_by_operator(namespace, name, grace)
        elif resource == PLURAL:
            self._job_deleted_by_operator(name)

    def _job_deleted_by_operator(self, name: str) -> None:
        """Only one that is over, and has been for as long as its owner wants it."""
        for job in self.jobs.values():
            ttl, status = job["spec"].get("ttlSecondsAfterFinished"), job.get("status") or {}
            if job["metadata"]["name"] == name:
                final = status.get("phase") in ("Succeeded", "Failed")
                self.must(final and ttl is not None, f"the operator deletes {name}: {status.get('phase')}")
                over = self.over_since.get(job["metadata"]["uid"], self.now())
                aged = ttl is not None and self.now() - over >= ttl - 1.0
                self.receiver.deleted_by_operator(job)
                self.must(aged, f"the operator deletes {name} before its time: {self.now() - over} s")

    def _pod_deleted_by_operator(self, namespace: str, name: str, grace: int) -> None:
        """The operator may only take down what failed, what is old, what is to be suspended and has its time
        to save, or what is left of a finished job; and nothing that is not its own."""
        ours = namespace == NAMESPACE and not name.startswith("stranger-")
        self.must(ours, f"the operator deletes {namespace}/{name}, a stranger's pod")
        self.setup.deleted_by_operator(name)
        for pod in self.pods.values():
            if pod["metadata"]["name"] != name:
                continue
            labels = pod["metadata"]["labels"]
            uid, attempt = labels[LABEL_JOB_UID], int(labels[LABEL_ATTEMPT])
            status = self.jobs.get(uid, {}).get("status", {})
            final = status.get("phase") in ("Succeeded", "Failed")
            stops = status.get("phase") == "Suspended" or "stoppingAt" in (status.get("attempts") or [{}])[-1]
            self.must(
                final or stops or uid not in self.jobs or attempt != status.get("attempt"),
                f"the operator deletes {name} of the attempt that runs",
            )
            hasty = stops and attempt == status.get("attempt") and not going(pod) and grace < SAVE_SECONDS
            self.must(not hasty, f"{name} has {grace} s to save before it is suspended")

    # -- jobs ---------------------------------------------------------------------------------------------

    def _job(self, kind: str, job: Object) -> None:
        uid = job["metadata"]["uid"]
        old = self.jobs.pop(uid, None)
        if kind == "DELETED":
            return
        self.jobs[uid] = job
        before, after = (old or {}).get("status") or {}, job.get("status") or {}
        if before != after:
            self._status(uid, before, after)
            self.setup.status(job, before, after)
            self.gangs.status(job, before, after)
            self.sizes.status(job, before, after)
            self.receiver.status(job, before, after)

    def _status(self, uid: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        again = before.get("rerun") != after.get("rerun")
        self._end(uid, before, after, again)
        was, attempt = before.get("attempt"), after.get("attempt")
        self.must(
            attempt in ((None, 0) if was is None else (was, was + 1)), f"attempt went from {was} to {attempt}"
        )
        if attempt is not None:
            total = after["restarts"]["total"]
            if again and before.get("phase") in ("Succeeded", "Failed"):
                self.given_back[uid] = attempt
            elif was is not None and attempt == was + 1 and self._gave_back(after["attempts"]):
                self.given_back[uid] = self.given_back.get(uid, 0) + 1
            free = self.given_back.get(uid, 0)
            self.must(total + free == attempt, f"{total} restarts, {free} free, in attempt {attempt}")
            numbers = [a["number"] for a in after["attempts"]]
            self.must(numbers == list(range(numbers[0], attempt + 1)), f"attempts on record: {numbers}")
        if was is not None and attempt == was + 1 and after["attempts"][-2].get("reason") == "Suspended":
            self.must(
                before.get("phase") == "Suspended", f"attempt {attempt} goes on from {before.get('phase')}"
            )
        if was is not None and attempt == was + 1:
            whole = not again and (uid, was) not in self.damaged and not self._gave_back(after["attempts"])
            self.must(not whole, f"attempt {attempt} begins, though nothing happened to attempt {was}")
        for field, path in (("checkpoint", "step"), ("restarts", "total")):
            if again and field == "restarts":
                continue
            old, new = (before.get(field) or {}).get(path, 0), (after.get(field) or {}).get(path, 0)
            self.must(new >= old, f"{field}.{path} went back from {old} to {new}")
        ended = [a for a in before.get("attempts", []) if "endedAt" in a]
        kept = {a["number"]: a for a in after.get("attempts", [])}
        for record in ended:
            now = kept.get(record["number"], record)
            self.must(now == record, f"the record of attempt {record['number']} was changed after its end")

    def _end(self, uid: str, before: dict[str, Any], after: dict[str, Any], again: bool) -> None:
        """Nothing is written after the end, unless somebody wants the job to be tried again."""
        if after.get("phase") in ("Succeeded", "Failed"):
            self.over_since.setdefault(uid, self.now())
        elif again:
            self.over_since.pop(uid, None)
        was = before.get("phase")
        allowed = again or _why_no_rerun(before, after) or _moved(before, after) == {"notifications"}
        self.must(allowed or was not in ("Succeeded", "Failed"), f"status written after {was}")

    @staticmethod
    def _gave_back(attempts: list[dict[str, Any]]) -> bool:
        """Whether the attempt that has just ended found no room for its whole gang, or was suspended: nobody
        pays for that."""
        ended = attempts[-2]
        reasons = ("Suspended", "StartDeadline", "Preempted", "Resized")
        free = ended.get("reason") in reasons or "createdAt" not in ended
        return ended.get("charge") == "Nobody" and free


def _rank(pod: Object) -> tuple[str, int]:
    labels = pod["metadata"]["labels"]
    return labels[LABEL_JOB_UID], int(labels[LABEL_RANK])


class WatchedApi(MemoryApi):
    """The API in memory, with somebody looking on."""

    changed: Callable[[str, str, Object], None]

    def _tell(self, collection: Any, kind: str, found: Object, before: Object) -> None:
        super()._tell(collection, kind, found, before)
        resource = next(name for name, one in self._collections.items() if one is collection)
        self.changed(resource, kind, found)

    def peek(self, resource: str, namespace: str, name: str) -> Object | None:
        """Not a copy: tests only look."""
        return self._collections[resource].objects.get((namespace, name))

    def all_of(self, resource: str) -> list[Object]:
        """All objects; not copies either."""
        return list(self._collections[resource].objects.values())


def _why_no_rerun(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether all that is written is why a rerun that somebody asked for does not begin: its runtime."""
    reason = (after.get("waiting") or {}).get("reason", "")
    return _moved(before, after) == {"waiting"} and (reason == "OutOfBounds" or reason.startswith("Runtime"))


def _moved(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {field for field in {*before, *after} if before.get(field) != after.get(field)}
