"""Which of several operators acts: one Lease (coordination.k8s.io), held by renewing it.

No clock is compared with another machine's. Who waits counts on its own clock since when the Lease has not
changed, and takes it after `Seat.seconds` of that. Who holds it counts from before it sent its last renewal
that was taken, and stops writing after two thirds of them: so the one has stopped before the other begins,
however long either was stopped. Of two that take it at once the API server lets one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from .api import ApiError, Object

LEASES = "leases"
ADDRESS = "llmtrain.dev/report-address"
MOST_SECONDS = 120
"""A Lease that says more is not waited for longer: nobody may lock out all operators."""
log = structlog.get_logger()


class LeaseApi(Protocol):
    """What a Lease is held with. Every call raises `ApiError`."""

    async def get(self, resource: str, namespace: str, name: str) -> Object:
        """Read one object."""
        ...

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        """Create one object."""
        ...

    async def replace(self, resource: str, namespace: str, name: str, body: Object) -> Object:
        """Write one object anew: 409 if it has moved since the version in ``metadata.resourceVersion``."""
        ...


@dataclass(frozen=True, slots=True)
class Seat:
    """Where the Lease is and who wants it.

    Attributes:
        identity: of this process; no other has it, not even one of the same pod.
        address: where the leader takes reports, such as https://10.0.0.7:8443; empty = nobody is told.
        seconds: how long it is good for.
    """

    namespace: str
    name: str
    identity: str
    address: str = ""
    seconds: float = 12.0


def now_with_sleep() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Elector:
    """One candidate for one Lease."""

    def __init__(self, api: LeaseApi, seat: Seat, clock: Callable[[], float] = now_with_sleep) -> None:
        self._api, self._seat, self._clock = api, seat, clock
        self._until = float("-inf")
        self._held: Object | None = None
        self._version, self._unchanged_since = "", clock()
        self._leader = ""

    @property
    def retry_seconds(self) -> float:
        """How often it is renewed, or asked for."""
        return self._seat.seconds / 6

    def seconds_left(self) -> float:
        """How long this process may write, from now; nothing or less = it may not."""
        return self._until - self._clock()

    @property
    def leads(self) -> bool:
        """Whether this process may write now."""
        return self.seconds_left() > 0

    @property
    def leader_address(self) -> str:
        """Where the leader takes reports, as far as is known."""
        return self._leader

    async def acquire(self) -> None:
        """Until the Lease is ours."""
        while True:
            try:
                if await self._take():
                    log.info("leads", identity=self._seat.identity)
                    return
            except (ApiError, TimeoutError) as error:
                log.warning("lease-not-taken", reason=str(error) or type(error).__name__)
            await asyncio.sleep(self.retry_seconds * random.uniform(0.8, 1.2))

    async def keep(self) -> None:
        """Renew it until it is lost."""
        while self.leads:
            await asyncio.sleep(min(self.retry_seconds, max(self.seconds_left(), 0.0)))
            try:
                async with asyncio.timeout(max(self.seconds_left(), 0.0)):
                    await self._renew()
            except (ApiError, TimeoutError) as error:
                log.warning("lease-not-renewed", reason=str(error) or type(error).__name__)
        self._until = float("-inf")
        log.warning("leads-no-more", identity=self._seat.identity)

    async def release(self) -> None:
        """Nothing is written any more, so whoever waits may begin at once."""
        left, self._until = self.seconds_left(), float("-inf")
        if left <= 0 or self._held is None:
            return
        try:
            async with asyncio.timeout(left):
                await self._write(self._held, holder="")
        except (ApiError, TimeoutError) as error:
            log.warning("lease-not-released", reason=str(error) or type(error).__name__)

    async def _take(self) -> bool:
        async with asyncio.timeout(self._seat.seconds):
            try:
                found = await self._api.get(LEASES, self._seat.namespace, self._seat.name)
            except ApiError as error:
                if error.status != 404:
                    raise
                return await self._claim(None)
            if not self._is_free(found):
                return False
            return await self._claim(found)

    def _is_free(self, found: Object) -> bool:
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        self._leader = str((found["metadata"].get("annotations") or {}).get(ADDRESS, "")) if holder else ""
        if found["metadata"]["resourceVersion"] != self._version:
            self._version, self._unchanged_since = found["metadata"]["resourceVersion"], self._clock()
        good_for = min(float(spec.get("leaseDurationSeconds") or 0), MOST_SECONDS)
        return holder in ("", self._seat.identity) or self._clock() - self._unchanged_since > good_for

    async def _claim(self, found: Object | None) -> bool:
        try:
            await self._write(found, holder=self._seat.identity)
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        return True

    async def _renew(self) -> None:
        try:
            await self._write(self._held, holder=self._seat.identity)
        except ApiError as error:
            if error.status != 409:
                raise
            # a renewal whose answer was lost, or somebody else
            found = await self._api.get(LEASES, self._seat.namespace, self._seat.name)
            if (found.get("spec") or {}).get("holderIdentity") == self._seat.identity:
                self._held = found
            else:
                self._until = float("-inf")

    async def _write(self, found: Object | None, holder: str) -> None:
        """Raises: ApiError: 409 = somebody was faster."""
        asked = self._clock()
        body = self._body(found, holder)
        where = LEASES, self._seat.namespace
        if found is None:
            written = await self._api.create(*where, body)
        else:
            written = await self._api.replace(*where, self._seat.name, body)
        self._held = written
        if holder:
            self._until = asked + self._seat.seconds * 2 / 3

    def _body(self, found: Object | None, holder: str) -> Object:
        old: dict[str, Any] = (found or {}).get("spec") or {}
        meta = {"name": self._seat.name, "namespace": self._seat.namespace}
        if found is not None:
            meta["resourceVersion"] = found["metadata"]["resourceVersion"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        taken = old.get("holderIdentity") != holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._seat.seconds)) if holder else 1,
            "acquireTime": now if taken else old.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + bool(taken and holder),
        }
        annotations = {ADDRESS: self._seat.address} if holder and self._seat.address else {}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**meta, "annotations": annotations},
            "spec": spec,
        }
