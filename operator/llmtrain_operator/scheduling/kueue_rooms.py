"""Rooms that gangs have with Kueue: its Workloads as they are, made, given back and told of."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import orjson
import structlog

from llmtrain_api import to_rfc3339
from llmtrain_api.names import LABEL_JOB_UID, LABEL_MANAGED_BY, MANAGER

from ..kube.api import ApiError, ClusterApi, Object
from ..kube.pods import decode_rank
from ..kube.reflector import Reflector
from .cluster import Objects
from .kueue_objects import SeenWorkload, decode_workload

Key = tuple[str, str]
"""(namespace, name) of a job."""
RESOURCE = "workloads"
SELECTOR = f"{LABEL_MANAGED_BY}={MANAGER}"
log = structlog.get_logger()


class Workloads(Objects[SeenWorkload]):
    """Workloads by the job that controls them."""

    def __init__(self) -> None:
        super().__init__()
        self._by_job: dict[tuple[str, str, str], dict[str, SeenWorkload]] = {}

    def of(self, key: Key, uid: str) -> list[SeenWorkload]:
        """Those of that very job, the newest of each name."""
        found = sorted(self._by_job.get((*key, uid), {}).values(), key=lambda w: w.resource_version)
        return list({w.name: w for w in found}.values())

    def moved(self, before: SeenWorkload | None, after: SeenWorkload | None) -> None:
        """File it under its job."""
        if before is not None:
            mine = self._by_job.get((before.namespace, *before.job), {})
            mine.pop(before.uid, None)
            if not mine:
                self._by_job.pop((before.namespace, *before.job), None)
        if after is not None:
            self._by_job.setdefault((after.namespace, *after.job), {})[after.uid] = after


class Rooms:
    """Kueue's Workloads of our jobs.

    Args:
        api: the API server.
        changed: called with the job whose Workload has changed.
        namespace: only of it; empty = all.
        clock: the current moment, UTC.
    """

    def __init__(
        self, api: ClusterApi, changed: Callable[[Key], None], namespace: str, clock: Callable[[], datetime]
    ) -> None:
        self._api, self._clock = api, clock
        self._workloads = Workloads()
        self.reflector = Reflector(
            api,
            RESOURCE,
            SELECTOR,
            decode_workload,
            self._workloads,
            lambda seen: changed((seen.namespace, seen.job[0])),
            namespace,
        )

    def of(self, key: Key, uid: str) -> list[SeenWorkload]:
        """Workloads of that very job, the newest of each name."""
        return self._workloads.of(key, uid)

    async def create(self, key: Key, uid: str, body: Object) -> bool:
        """Make a Workload. Returns whether the job has one of that name now: else somebody else has.

        Raises:
            ApiError: it could not be made.
        """
        name = body["metadata"]["name"]
        try:
            made = await self._api.create(RESOURCE, key[0], body)
            log.info("created", job="/".join(key), uid=uid, resource=RESOURCE, name=name)
        except ApiError as error:
            if error.status != 409:
                raise
            made = await self._api.get(RESOURCE, key[0], name)
        seen = self._take(made)
        return seen is not None and seen.job == (key[1], uid)

    async def read(self, known: SeenWorkload) -> SeenWorkload | None:
        """A Workload as it is now; None where it is gone.

        Raises:
            ApiError: it could not be read.
        """
        try:
            seen = self._take(await self._api.get(RESOURCE, known.namespace, known.name))
        except ApiError as error:
            if error.status != 404:
                raise
            self._workloads.remove(known.uid)
            return None
        return seen if seen is not None and seen.uid == known.uid else None

    def _take(self, raw: Object) -> SeenWorkload | None:
        seen = decode_workload(orjson.dumps(raw))
        if seen is not None:
            self._workloads.upsert(seen)
        return seen

    async def release(self, uid: str, workloads: list[SeenWorkload]) -> bool:
        """Delete Workloads of a job, unless a pod of it may still use their quota. Returns whether they are
        gone.

        Raises:
            ApiError: to be tried again.
        """
        for seen in workloads:
            if seen.reserves and await self.pods_left(seen.namespace, uid):
                return False
            try:
                await self._api.delete(RESOURCE, seen.namespace, seen.name, seen.uid, 0)
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
            log.info("deleted", job=f"{seen.namespace}/{seen.job[0]}", resource=RESOURCE, name=seen.name)
            self._workloads.remove(seen.uid)
        return True

    async def pods_left(self, namespace: str, uid: str) -> bool:
        """Whether a rank of the job has not ended, by the API server's own word.

        Raises:
            ApiError: it could not be asked.
        """
        listing = await self._api.list("pods", namespace, f"{LABEL_JOB_UID}={uid}")
        pods = [pod for pod in map(decode_rank, listing.items) if pod is not None]
        return any(pod.job_uid == uid and pod.stage is None and not pod.terminal for pod in pods)

    async def tell(self, seen: SeenWorkload, kind: str, reason: str, message: str) -> None:
        """Set a condition of the Workload, if it is still as it is known.

        Raises:
            ApiError: 409 where it is not.
        """
        condition = {
            "type": kind,
            "status": "True",
            "reason": reason,
            "message": message[:1024],
            "lastTransitionTime": to_rfc3339(self._clock()),
            "observedGeneration": 1,
        }
        others = [c for c in seen.status.get("conditions") or () if c.get("type") != kind]
        body = {
            "metadata": {"resourceVersion": str(seen.resource_version)},
            "status": {"conditions": [*others, condition]},
        }
        self._take(await self._api.patch_status(RESOURCE, seen.namespace, seen.name, body))
