"""What is known of the worker pods. Fed by the reflector and, at once, by our own writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from ..types import Pod

MAX_TOMBSTONES = 10_000


class PodStore:
    """Pods by UID, indexed by job UID.

    Three rules keep it true whatever order things come in:
    an older version never replaces a newer one; a pod once seen deleted never comes back (the answer to our
    create may arrive after its deletion); a list drops only what is not newer than the list itself.
    """

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._by_job: dict[str, set[str]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> Pod | None:
        """The pod with that UID."""
        return self._pods.get(uid)

    def of_job(self, job_uid: str) -> tuple[Pod, ...]:
        """A job's pods, by attempt and rank."""
        found = (self._pods[uid] for uid in self._by_job.get(job_uid, ()))
        return tuple(sorted(found, key=lambda p: (p.attempt, p.rank, p.uid)))

    def upsert(self, pod: Pod) -> bool:
        """Take what a watch, a list or a create said. Returns whether anything changed."""
        if pod.uid in self._gone:
            return False
        known = self._pods.get(pod.uid)
        if known is not None and known.resource_version >= pod.resource_version:
            return False
        self._pods[pod.uid] = pod
        self._by_job.setdefault(pod.job_uid, set()).add(pod.uid)
        return True

    def remove(self, uid: str) -> Pod | None:
        """Take a deletion. Returns what was known of the pod."""
        self._gone[uid] = None
        while len(self._gone) > MAX_TOMBSTONES:
            self._gone.popitem(last=False)
        pod = self._pods.pop(uid, None)
        if pod is not None:
            uids = self._by_job[pod.job_uid]
            uids.discard(uid)
            if not uids:
                del self._by_job[pod.job_uid]
        return pod

    def replace(self, pods: Iterable[Pod], version: int) -> list[Pod]:
        """Take a full list made at ``version``. Returns the pods that changed or went."""
        listed = {p.uid: p for p in pods}
        lost = [p for p in self._pods.values() if p.uid not in listed and p.resource_version <= version]
        for pod in lost:
            self.remove(pod.uid)
        return lost + [pod for pod in listed.values() if self.upsert(pod)]
