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
        self._lost: dict[str, set[tuple[int, int]]] = {}

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> Pod | None:
        """The pod with that UID."""
        return self._pods.get(uid)

    def saw_go(self, uid: str) -> bool:
        """Whether that pod is known to be gone."""
        return uid in self._gone

    def of_job(self, job_uid: str) -> tuple[Pod, ...]:
        """A job's pods, by attempt and rank."""
        found = (self._pods[uid] for uid in self._by_job.get(job_uid, ()))
        return tuple(sorted(found, key=lambda p: (p.attempt, p.rank, p.uid)))

    def lost(self, job_uid: str, attempt: int) -> frozenset[int]:
        """Ranks of an attempt that had a pod which is gone from the API, as far as this process knows."""
        return frozenset(rank for of, rank in self._lost.get(job_uid, ()) if of == attempt)

    def forget(self, job_uid: str) -> None:
        """The job is gone: what was lost of it matters no more."""
        self._lost.pop(job_uid, None)

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

    def remove(self, uid: str, last: Pod | None = None) -> Pod | None:
        """Take a deletion, with the pod as it was last, if that is told. Returns what is known of it."""
        self._gone[uid] = None
        while len(self._gone) > MAX_TOMBSTONES:
            self._gone.popitem(last=False)
        known = self._pods.pop(uid, None)
        if known is not None:
            uids = self._by_job[known.job_uid]
            uids.discard(uid)
            if not uids:
                del self._by_job[known.job_uid]
        pod = known or last
        if pod is not None:
            self._lost.setdefault(pod.job_uid, set()).add((pod.attempt, pod.rank))
        return pod

    def replace(self, pods: Iterable[Pod], version: int) -> list[Pod]:
        """Take a full list made at ``version``. Returns the pods that changed or went."""
        listed = {p.uid: p for p in pods}
        lost = [p for p in self._pods.values() if p.uid not in listed and p.resource_version <= version]
        for pod in lost:
            self.remove(pod.uid)
        return lost + [pod for pod in listed.values() if self.upsert(pod)]
