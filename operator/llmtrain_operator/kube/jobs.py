"""What is known of the jobs, as they were last heard of, read or written."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from llmtrain_api.names import GROUP

from ..types import JobRef
from .api import Object

MAX_TOMBSTONES = 10_000
DROPPED = frozenset({"managedFields", "annotations"})
Key = tuple[str, str]
"""(namespace, name) of a job."""


@dataclass(frozen=True, slots=True)
class SeenJob:
    """One version of a job.

    Attributes:
        deletion_deadline: ``deletionTimestamp``, or None.
        raw: the object as JSON, without ``managedFields`` and without annotations that are not ours, such as
            the copy of the whole manifest that kubectl makes.
    """

    namespace: str
    name: str
    uid: str
    resource_version: int
    deletion_deadline: object
    raw: bytes

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


def decode_job(raw: bytes) -> SeenJob:
    """A job from its JSON.

    Raises:
        ValueError: it is no object of an API server.
    """
    return seen_job(orjson.loads(raw))


def seen_job(found: Object) -> SeenJob:
    """A job from what a call answered.

    Raises:
        ValueError: it is no object of an API server.
    """
    try:
        meta = {name: value for name, value in found["metadata"].items() if name not in DROPPED}
        noted = found["metadata"].get("annotations") or {}
        if ours := {name: value for name, value in noted.items() if name.startswith(f"{GROUP}/")}:
            meta["annotations"] = ours
        return SeenJob(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            resource_version=int(meta["resourceVersion"]),
            deletion_deadline=meta.get("deletionTimestamp"),
            raw=orjson.dumps({**found, "metadata": meta}),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no job: {error!r}") from error


class JobStore:
    """Jobs by name; of one name the newest.

    The rules of `store.PodStore` hold here too: an older version never replaces a newer one, what was seen
    deleted does not come back, a list drops only what is not newer than the list itself. And one more: a job
    that is in doubt, as the answer to a write of it did not come or was a conflict, is read before it is
    planned for.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, SeenJob] = {}
        self._names: dict[Key, str] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._doubted: set[Key] = set()

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, uid: str) -> SeenJob | None:
        """The job with that UID."""
        return self._jobs.get(uid)

    def find(self, key: Key) -> SeenJob | None:
        """The job of that namespace and name."""
        uid = self._names.get(key)
        return None if uid is None else self._jobs[uid]

    def __iter__(self) -> Iterator[Key]:
        return iter(tuple(self._names))

    def exists(self, job: JobRef) -> bool:
        """Whether that very job is there."""
        return self._names.get((job.namespace, job.name)) == job.uid

    def doubt(self, key: Key) -> None:
        """What is known of it may be old: it is to be read."""
        self._doubted.add(key)

    def doubted(self, key: Key) -> bool:
        """Whether it is to be read before anything is decided on it."""
        return key in self._doubted

    def read(self, key: Key, found: SeenJob | None) -> None:
        """Take the answer to a read; None = there is no such job."""
        known = self.find(key)
        if known is not None and (found is None or found.uid != known.uid):
            self.remove(known.uid)
        if found is not None:
            self.upsert(found)
        self._doubted.discard(key)

    def upsert(self, item: SeenJob) -> bool:
        """Take what a watch, a list, a read or a write said. Returns whether it was news."""
        known = self.find(item.key)
        if item.uid in self._gone or (known and known.resource_version >= item.resource_version):
            return False
        if known is not None and known.uid != item.uid:
            self.remove(known.uid)
        self._jobs[item.uid] = item
        self._names[item.key] = item.uid
        return True

    def remove(self, uid: str, last: SeenJob | None = None) -> SeenJob | None:
        """Take a deletion. Returns what was known."""
        self._gone[uid] = None
        while len(self._gone) > MAX_TOMBSTONES:
            self._gone.popitem(last=False)
        known = self._jobs.pop(uid, None)
        if known is not None:
            del self._names[known.key]
        return known or last

    def absent(self, listed: Iterable[SeenJob], version: int) -> list[SeenJob]:
        """Known jobs that a full list made at ``version`` should have had and has not."""
        uids = {item.uid for item in listed}
        return [j for j in self._jobs.values() if j.uid not in uids and j.resource_version <= version]

    def replace(self, items: Iterable[SeenJob], version: int) -> list[SeenJob]:
        """Take a full list made at ``version``. Returns what changed or went."""
        listed = list(items)
        lost = self.absent(listed, version)
        for job in lost:
            self.remove(job.uid)
        return lost + [job for job in listed if self.upsert(job)]
