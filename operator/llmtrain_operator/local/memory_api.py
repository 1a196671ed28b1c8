"""`ClusterApi` in memory: what the engine relies on of an API server, with the same answers.

Versions, conflicts, UID preconditions, graceful deletion of pods, ownership and garbage collection, watches
with a bounded history. A real API server is held against it in ``tests/integration``.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson

from llmtrain_api import to_rfc3339
from llmtrain_api.names import CLUSTER_RUNTIME_PLURAL, PLURAL, RUNTIME_PLURAL

from ..kube.api import RESOURCES, ApiError, Listing, Object, WatchEvent
from .admission import admit, qualified
from .documents import copy, matches, merged, parse_selector

HISTORY = 10_000
"""Changes a resource that a watch may still ask for; older ones are answered with 410."""
MOVED = "the object has been modified; please apply your changes to the latest version and try again"
Key = tuple[str, str]
"""(namespace, name)."""


@dataclass(frozen=True, slots=True)
class _Change:
    version: int
    kind: str
    namespace: str
    labels: dict[str, str]
    labels_before: dict[str, str]
    raw: bytes
    raw_before: bytes

    def seen_through(self, wanted: dict[str, str]) -> WatchEvent | None:
        """What a watch with that selector tells: to lose a label looks like a deletion."""
        now, before = matches(self.labels, wanted), matches(self.labels_before, wanted)
        if self.kind != "MODIFIED" or (now and before):
            return WatchEvent(self.kind, self.raw) if now else None
        if now:
            return WatchEvent("ADDED", self.raw)
        return WatchEvent("DELETED", self.raw_before) if before else None


@dataclass
class _Collection:
    """All objects of one resource, their recent changes and who watches them."""

    objects: dict[Key, Object] = field(default_factory=dict)
    history: deque[_Change] = field(default_factory=lambda: deque(maxlen=HISTORY))
    forgotten: int = 0
    watchers: dict[asyncio.Queue[_Change | None], None] = field(default_factory=dict)
    """In the order in which they came, so that they are told in it."""


class MemoryApi:
    """One API server without a network. All answers are copies.

    Args:
        clock: the current moment, UTC.
        new_uid: makes the UID of a new object.
    """

    def __init__(
        self,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._clock = clock
        self._new_uid = new_uid
        self._version = 0
        self._collections = {resource: _Collection() for resource in RESOURCES}

    # -- the protocol -------------------------------------------------------------------------------------

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one object."""
        return copy(self._find(resource, namespace, name))

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object: 409 AlreadyExists, 422 Invalid."""
        new = copy(body)
        admit(resource, new)
        meta = new["metadata"]
        if (namespace, meta["name"]) in self._collections[resource].objects:
            raise ApiError(409, "AlreadyExists", f'{qualified(resource)} "{meta["name"]}" already exists')
        meta |= {
            "namespace": namespace,
            "uid": self._new_uid(),
            "creationTimestamp": to_rfc3339(self._clock()),
        }
        if resource == PLURAL:
            # /status is a subresource: what a create says of it is dropped
            new.pop("status", None)
            meta["generation"] = 1
        elif resource in (RUNTIME_PLURAL, CLUSTER_RUNTIME_PLURAL):
            meta["generation"] = 1
        elif resource == "pods":
            new["status"] = {"phase": "Pending"}
        self._put(resource, "ADDED", new)
        return copy(new)

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        """Delete the object with that UID. A pod on a node gets its grace time: its kubelet ends it."""
        found = self._find(resource, namespace, name)
        actual = found["metadata"]["uid"]
        if uid and uid != actual:
            raise _conflict(
                resource,
                name,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}",
            )
        if resource == "pods" and grace_seconds > 0 and _runs_on_a_node(found):
            self._mark_deleted(found, grace_seconds)
        else:
            self._drop(resource, found)

    async def replace(self, resource: str, namespace: str, name: str, body: Object) -> Object:
        """Write an object anew: 409 when ``metadata.resourceVersion`` is not the current one."""
        found = self._find(resource, namespace, name)
        if body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
            raise _conflict(resource, name, MOVED)
        kept = {key: found["metadata"][key] for key in ("namespace", "uid", "creationTimestamp")}
        return self._change(resource, found, {**body, "metadata": {**body["metadata"], **kept}})

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        """JSON merge patch of ``/status``: 409 when ``metadata.resourceVersion`` is not the current one."""
        found = self._find(resource, namespace, name)
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != found["metadata"]["resourceVersion"]:
            raise _conflict(resource, name, MOVED)
        return self._change(resource, found, {"status": merged(found.get("status", {}), patch.get("status"))})

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        """All objects that match a label selector of equalities."""
        wanted = parse_selector(selector)
        found = [
            orjson.dumps(o)
            for (where, _), o in self._collections[resource].objects.items()
            if namespace in ("", where) and matches(o["metadata"].get("labels", {}), wanted)
        ]
        return Listing(found, str(self._version))

    async def events_of(self, namespace: str, uid: str) -> Listing:
        """Events of the object with that UID."""
        told = [
            orjson.dumps(found)
            for (where, _), found in self._collections["events"].objects.items()
            if where == namespace and found.get("involvedObject", {}).get("uid") == uid
        ]
        return Listing(told, str(self._version))

    async def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncGenerator[WatchEvent]:
        """Changes since a version until `close_watches`; 410 when they are no longer kept."""
        collection, wanted = self._collections[resource], parse_selector(selector)
        since = int(resource_version or self._version)
        if since < collection.forgotten:
            raise ApiError(410, "Expired", f"too old resource version: {since} ({collection.forgotten})")
        queue: asyncio.Queue[_Change | None] = asyncio.Queue()
        for change in collection.history:
            if change.version > since:
                queue.put_nowait(change)
        collection.watchers[queue] = None
        try:
            while (queued := await queue.get()) is not None:
                event = queued.seen_through(wanted) if namespace in ("", queued.namespace) else None
                if event is not None:
                    yield event
        finally:
            collection.watchers.pop(queue, None)

    # -- what others than the operator do -----------------------------------------------------------------

    def peek(self, resource: str, namespace: str, name: str) -> Object | None:
        """A copy of one object, if it is there."""
        found = self._collections[resource].objects.get((namespace, name))
        return None if found is None else copy(found)

    def replace_spec(self, resource: str, namespace: str, name: str, spec: Object) -> Object:
        """A person edits an object: a new generation."""
        found = self._find(resource, namespace, name)
        generation = found["metadata"].get("generation", 1) + (spec != found.get("spec"))
        return self._change(
            resource, found, {"spec": spec, "metadata": found["metadata"] | {"generation": generation}}
        )

    def relabel(self, resource: str, namespace: str, name: str, labels: dict[str, str]) -> Object:
        """A person replaces the labels of an object."""
        found = self._find(resource, namespace, name)
        return self._change(resource, found, {"metadata": {**found["metadata"], "labels": labels}})

    def annotate(self, resource: str, namespace: str, name: str, annotations: dict[str, str]) -> Object:
        """A person replaces the annotations of an object."""
        found = self._find(resource, namespace, name)
        return self._change(resource, found, {"metadata": {**found["metadata"], "annotations": annotations}})

    def bind(self, namespace: str, name: str, node: str) -> Object:
        """The scheduler puts a pod on a node: 409 when it has one."""
        found = self._find("pods", namespace, name)
        if found["spec"].get("nodeName"):
            raise _conflict("pods", name, f"pod {name} is already assigned to a node")
        return self._change("pods", found, {"spec": found["spec"] | {"nodeName": node}})

    def garbage(self) -> Iterator[tuple[str, Object]]:
        """Objects none of whose owners exists any more, as (resource, object)."""
        alive = {
            o["metadata"]["uid"]
            for collection in self._collections.values()
            for o in collection.objects.values()
        }
        for resource, collection in self._collections.items():
            for found in list(collection.objects.values()):
                owners = found["metadata"].get("ownerReferences", [])
                going = "deletionTimestamp" in found["metadata"]
                if owners and not going and not any(owner["uid"] in alive for owner in owners):
                    yield resource, copy(found)

    async def collect_garbage(self) -> int:
        """Delete what has lost its owners, as the garbage collector does. Returns how many."""
        count = 0
        for resource, found in self.garbage():
            meta = found["metadata"]
            grace = found.get("spec", {}).get("terminationGracePeriodSeconds", 30)
            await self.delete(resource, meta["namespace"], meta["name"], meta["uid"], grace)
            count += 1
        return count

    def close_watches(self) -> None:
        """End every stream, as a server does after some minutes or when it goes down."""
        for collection in self._collections.values():
            for queue in collection.watchers:
                queue.put_nowait(None)

    def compact(self, resource: str) -> None:
        """Forget the changes kept for watches, as etcd does every few minutes."""
        collection = self._collections[resource]
        collection.history.clear()
        collection.forgotten = self._version

    # -- inside -------------------------------------------------------------------------------------------

    def _find(self, resource: str, namespace: str, name: str) -> Object:
        try:
            return self._collections[resource].objects[namespace, name]
        except KeyError:
            raise ApiError(404, "NotFound", f'{qualified(resource)} "{name}" not found') from None

    def _change(self, resource: str, found: Object, fields: Object) -> Object:
        new = copy({**found, **fields})
        if new == found:
            # the real server does not count a write that changes nothing either
            return new
        self._put(resource, "MODIFIED", new)
        return copy(new)

    def _mark_deleted(self, found: Object, grace_seconds: int) -> None:
        meta = found["metadata"]
        deadline = to_rfc3339(self._clock() + timedelta(seconds=grace_seconds))
        if "deletionTimestamp" in meta and meta["deletionTimestamp"] <= deadline:
            return
        deleted = {"deletionTimestamp": deadline, "deletionGracePeriodSeconds": grace_seconds}
        self._change("pods", found, {"metadata": {**meta, **deleted}})

    def _put(self, resource: str, kind: str, new: Object) -> None:
        collection, meta = self._collections[resource], new["metadata"]
        self._version += 1
        meta["resourceVersion"] = str(self._version)
        before = collection.objects.get((meta["namespace"], meta["name"]), new)
        collection.objects[meta["namespace"], meta["name"]] = new
        self._tell(collection, kind, new, before)

    def _drop(self, resource: str, found: Object) -> None:
        collection, meta = self._collections[resource], found["metadata"]
        self._version += 1
        del collection.objects[meta["namespace"], meta["name"]]
        last = {**found, "metadata": {**meta, "resourceVersion": str(self._version)}}
        self._tell(collection, "DELETED", last, last)

    def _tell(self, collection: _Collection, kind: str, found: Object, before: Object) -> None:
        meta, was = found["metadata"], before["metadata"]
        labels, labels_before = meta.get("labels", {}), was.get("labels", {})
        raw = raw_before = orjson.dumps(found)
        if labels != labels_before:
            # as it was, but at this change's version
            old = {**before, "metadata": {**was, "resourceVersion": meta["resourceVersion"]}}
            raw_before = orjson.dumps(old)
        change = _Change(self._version, kind, meta["namespace"], labels, labels_before, raw, raw_before)
        if len(collection.history) == HISTORY:
            collection.forgotten = collection.history[0].version
        collection.history.append(change)
        for queue in collection.watchers:
            queue.put_nowait(change)


def _runs_on_a_node(pod: Object) -> bool:
    phase = pod.get("status", {}).get("phase")
    return bool(pod["spec"].get("nodeName")) and phase not in ("Succeeded", "Failed")


def _conflict(resource: str, name: str, why: str) -> ApiError:
    return ApiError(
        409, "Conflict", f'Operation cannot be fulfilled on {qualified(resource)} "{name}": {why}'
    )
