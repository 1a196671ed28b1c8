"""Why a pod on a node does not start, where only its Events say so: of volumes that are not mounted."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec
import structlog

from ..kube.api import ApiError, Listing
from ..plan.waiting import MOUNTING, PREPARING
from ..types import Observed, Pod, PodPhase, PodWord

PATIENCE_SECONDS = 15.0
"""A volume is mounted within seconds; before that nobody is asked."""
AGAIN_SECONDS = 30.0
"""The kubelet tries again, and tells of it, every two minutes at most."""
MAX_MESSAGE = 1024
MAX_KNOWN = 10_000
log = structlog.get_logger()


class EventReader(Protocol):
    """The one call that this file needs of the API."""

    async def events_of(self, namespace: str, uid: str) -> Listing:
        """Events of the object with that UID.

        Raises:
            ApiError: they cannot be read.
        """
        ...


class _Series(msgspec.Struct, rename="camel", frozen=True):
    last_observed_time: str | None = None


class _Event(msgspec.Struct, rename="camel", frozen=True):
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
    series: _Series | None = None

    @property
    def moment(self) -> str:
        """When it was told last, as text that sorts."""
        series = self.series.last_observed_time if self.series else None
        return series or self.last_timestamp or self.event_time or ""


class PodWords:
    """Asks once for each pod that stands for long, and now and then again; remembers the answer meanwhile."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader
        self._known: dict[str, tuple[datetime, PodWord | None]] = {}

    async def of_job(self, seen: Observed, now: datetime) -> PodWord | None:
        """What is told of the first pod of a job that is being set up on its node for a while."""
        waiting = seen.job.status.waiting
        if waiting is None or waiting.since is None or waiting.reason not in (*PREPARING, *MOUNTING):
            return None
        if waiting.reason in PREPARING and (now - waiting.since).total_seconds() < PATIENCE_SECONDS:
            return None
        standing = [p for p in seen.pods if p.phase is PodPhase.PENDING and p.hold and p.hold[0] in PREPARING]
        if not standing:
            return None
        return await self._word(min(standing, key=lambda p: (p.attempt, p.rank)), now)

    async def _word(self, pod: Pod, now: datetime) -> PodWord | None:
        known = self._known.get(pod.uid)
        if known is not None and 0 <= (now - known[0]).total_seconds() < AGAIN_SECONDS:
            return known[1]
        try:
            found = word_of(pod, (await self._reader.events_of(pod.namespace, pod.uid)).items)
        except ApiError as error:
            # an older role may not read them; nothing hangs on it
            log.warning("events-not-read", pod=f"{pod.namespace}/{pod.name}", reason=str(error))
            found = None
        while len(self._known) >= MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known.pop(pod.uid, None)
        self._known[pod.uid] = now, found
        return found


def word_of(pod: Pod, raw: list[bytes]) -> PodWord | None:
    """The newest of a pod's events that tells why it does not start; what is no event is passed over."""
    events = []
    for one in raw:
        try:
            event = msgspec.json.decode(one, type=_Event)
        except ValueError:
            continue
        if event.reason in MOUNTING:
            events.append(event)
    if not events:
        return None
    newest = max(events, key=lambda event: event.moment)
    return PodWord(pod.uid, newest.reason, newest.message[:MAX_MESSAGE])
