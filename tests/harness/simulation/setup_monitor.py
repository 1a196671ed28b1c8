"""What must never happen to the pods that run before a gang."""

from __future__ import annotations

from typing import Any, Protocol

from harness.simulation.podview import alive, label, owner, phase_of

from llmtrain_api.names import LABEL_STAGE
from llmtrain_operator.kube.api import Object


class Watcher(Protocol):
    """What it needs of the monitor of the whole."""

    pods: dict[str, Object]
    jobs: dict[str, Object]
    created_again_blindly: int

    def must(self, holds: bool, message: str) -> None: ...

    def saw_go(self, uid: str) -> bool: ...


class SetupMonitor:
    """Sees every change of those pods, and of the record of them."""

    def __init__(self, whole: Watcher) -> None:
        self._whole = whole
        self.pods: dict[str, Object] = {}
        self.created: dict[tuple[str, int], str] = {}
        self.succeeded: set[tuple[str, int]] = set()

    def pod(self, kind: str, pod: Object, number: int) -> None:
        """One change of a pod."""
        uid = pod["metadata"]["uid"]
        if kind == "ADDED":
            self._added(pod, number)
        if kind == "DELETED":
            self.pods.pop(uid, None)
            return
        self.pods[uid] = pod
        if phase_of(pod) == "Succeeded":
            self.succeeded.add((owner(pod), number))

    def _added(self, pod: Object, number: int) -> None:
        name, job = pod["metadata"]["name"], owner(pod)
        must, status = self._whole.must, self._status(job)
        record = status.get("setup") or {}
        if job in self._whole.jobs:
            must(status.get("attempt") is None, f"pod {name} created beside an attempt")
            on_record = (record.get("stage"), record.get("number"))
            must(on_record == (label(pod, LABEL_STAGE), number), f"pod {name} created, {record} on record")
            must("endedAt" not in record, f"pod {name} created after the end of its stage")
        if (job, number) in self.created:
            known = "createdAt" in record or self._whole.saw_go(self.created[job, number])
            must(not known, f"pod {name} was there before: its number is used again")
            self._whole.created_again_blindly += 1
        self.created[job, number] = pod["metadata"]["uid"]
        others = [p for p in (*self.pods.values(), *self._whole.pods.values()) if owner(p) == job]
        beside = [p["metadata"]["name"] for p in others if alive(p)]
        must(not beside, f"pod {name} created beside {beside}")

    def must_be_over(self, job: str, name: str) -> None:
        """A rank is created: nothing that prepares for it may be alive."""
        left = [p["metadata"]["name"] for p in self.pods.values() if owner(p) == job and alive(p)]
        self._whole.must(not left, f"pod {name} created beside {left}")

    def deleted_by_operator(self, name: str) -> None:
        """Only what failed, what is for another spec, and what is left of a job that is over or refused."""
        for pod in self.pods.values():
            job = owner(pod)
            if pod["metadata"]["name"] != name or job not in self._whole.jobs:
                continue
            status = self._status(job)
            record = status.get("setup") or {}
            current = name.endswith(f"-{record.get('stage')}-{record.get('number')}")
            runs_on = current and "endedAt" not in record and status.get("attempt") is None
            self._whole.must(not runs_on, f"the operator deletes {name}, which is wanted")

    def status(self, job: Object, before: dict[str, Any], after: dict[str, Any]) -> None:
        """The record goes on by ones, and an attempt begins only on what is prepared for this very spec."""
        was, now = before.get("setup") or {}, after.get("setup") or {}
        number = was.get("number", -1)
        step = now.get("number", -1) - number
        self._whole.must(step in (0, 1), f"setup went from {was} to {now}")
        begins = before.get("attempt") is None and after.get("attempt") is not None
        spec, uid = job["spec"], job["metadata"]["uid"]
        inspects = not spec["model"]["name"].startswith("builtin://")
        prepares = bool(spec.get("prepare", {}).get("nodes"))
        if (inspects or prepares) and (begins or now.get("stage") == "prepare" != was.get("stage")):
            known = not inspects or "model" in after.get("resolved", {})
            self._whole.must(known, f"{now} and attempt {after.get('attempt')}, before the model is known")
        if begins and (inspects or prepares):
            done = "endedAt" in now and (uid, now["number"]) in self.succeeded
            last = "prepare" if prepares else "inspect"
            self._whole.must(done and now["stage"] == last, f"attempt 0 begins on {now}")
            same = now.get("generation") == job["metadata"]["generation"]
            self._whole.must(same, f"attempt 0 begins on data for another spec: {now}")

    def _status(self, job: str) -> dict[str, Any]:
        return self._whole.jobs.get(job, {}).get("status") or {}
