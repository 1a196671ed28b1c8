"""What is known of the worker pods. Fed by the reflector and, at once, by our own writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from llmtrain_api import SetupStage

from ..types import JobRef, Pod

MAX_TOMBSTONES = 10_000
MAX_LOST_JOBS = 10_000


class PodStore:
    """Pods by UID, indexed by the job that controls them.

    Four rules keep it true whatever order things come in:
    an older version never replaces a newer one; a pod once seen deleted never comes back (the answer to our
    create may arrive after its deletion); of two pods of one name the older one is gone; a list drops only
    what is not newer than the list itself.
    """

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._by_job: dict[JobRef, set[str]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._lost: OrderedDict[JobRef, set[tuple[SetupStage | None, int, int]]] = OrderedDict()
        self._forgotten: set[JobRef] = set()

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, uid: str) -> Pod | None:
        """The pod with that UID."""
        return self._pods.get(uid)

    def saw_go(self, uid: str) -> bool:
        """Whether that pod is known to be gone."""
        return uid in self._gone

    def of_job(self, job: JobRef) -> tuple[Pod, ...]:
        """A job's pods, by attempt and rank."""
        found = (self._pods[uid] for uid in self._by_job.get(job, ()))
        return tuple(sorted(found, key=lambda p: (p.attempt, p.rank, p.uid)))

    def lost(self, job: JobRef, attempt: int, stage: SetupStage | None = None) -> frozenset[int]:
        """Ranks of an attempt that had a pod which is gone from the API, as far as this process knows.

        Args:
            job: whose.
            attempt: its number, or that of a pod that runs before there is a gang.
            stage: what that pod does; None = a rank.
        """
        return frozenset(rank for *of, rank in self._lost.get(job, ()) if of == [stage, attempt])

    def forget(self, job: JobRef) -> None:
        """The job is gone: what was lost of it, or will be, matters no more."""
        self._lost.pop(job, None)
        if job in self._by_job:
            self._forgotten.add(job)

    def upsert(self, pod: Pod) -> bool:
        """Take what a watch, a list or a create said. Returns whether anything changed."""
        if pod.uid in self._gone:
            return False
        known = self._pods.get(pod.uid)
        if known is not None and known.resource_version >= pod.resource_version:
            return False
        namesake = self._pods.get(self._names.get((pod.namespace, pod.name), pod.uid))
        if namesake is not None and namesake.uid != pod.uid:
            if namesake.resource_version > pod.resource_version:
                return False
            self.remove(namesake.uid)
        if known is not None and known.owner != pod.owner:
            self._unfile(known)
        self._pods[pod.uid] = pod
        self._names[pod.namespace, pod.name] = pod.uid
        self._by_job.setdefault(pod.owner, set()).add(pod.uid)
        return True

    def remove(self, uid: str, last: Pod | None = None) -> Pod | None:
        """Take a deletion, with the pod as it was last, if that is told. Returns what is known of it."""
        self._gone[uid] = None
        while len(self._gone) > MAX_TOMBSTONES:
            self._gone.popitem(last=False)
        known = self._pods.pop(uid, None)
        if known is not None:
            self._unfile(known)
        pod = known or last
        if pod is not None and pod.owner not in self._forgotten:
            self._note_lost(pod)
        elif pod is not None and pod.owner not in self._by_job:
            self._forgotten.discard(pod.owner)
        return pod

    def _note_lost(self, pod: Pod) -> None:
        self._lost.setdefault(pod.owner, set()).add((pod.stage, pod.attempt, pod.rank))
        self._lost.move_to_end(pod.owner)
        while len(self._lost) > MAX_LOST_JOBS:
            self._lost.popitem(last=False)

    def _unfile(self, pod: Pod) -> None:
        uids = self._by_job[pod.owner]
        uids.discard(pod.uid)
        if not uids:
            del self._by_job[pod.owner]
        if self._names.get((pod.namespace, pod.name)) == pod.uid:
            del self._names[pod.namespace, pod.name]

    def absent(self, listed: Iterable[Pod], version: int) -> list[Pod]:
        """Known pods that a full list made at ``version`` should have had and has not."""
        uids = {p.uid for p in listed}
        return [p for p in self._pods.values() if p.uid not in uids and p.resource_version <= version]

    def replace(self, pods: Iterable[Pod], version: int) -> list[Pod]:
        """Take a full list made at ``version``. Returns the pods that changed or went."""
        listed = list(pods)
        lost = self.absent(listed, version)
        for pod in lost:
            self.remove(pod.uid)
        return lost + [pod for pod in listed if self.upsert(pod)]
