"""Kueue: each gang asks with a Workload of its own and has no pods until Kueue lets it in.

A Workload stands for a gang from the attempt in which it asked until it gives its room back; attempts that
follow a failure keep it. What Kueue is to take back is deleted, and asked for anew: so quota never counts
for pods that are gone, and is never given away under pods that are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from llmtrain_api import Job, JobSpec, Phase

from ..kube.api import ApiError, ClusterApi
from ..manifests.kueue import asks_for, workload
from ..manifests.names import workload_name
from ..plan.situation import read_spec
from ..types import Admission, PlanSettings
from .claims import Standing, standing
from .kueue_objects import SeenWorkload, flavors_of, placement_of, why_it_waits, why_wanted_back
from .kueue_rooms import Key, Rooms

TICK_SECONDS = 15.0
NOT_READY_SECONDS = 0.5
CHANGING_SECONDS = 2.0
PATIENT_SECONDS = 60.0
GRANT_SECONDS = 60.0
"""How long after it has asked a job counts as one that asks, or was let in, though that is not on record."""
WAITS_FOR_RIGHTS = Admission(
    False,
    "KueueNotReadable",
    "the operator cannot list Kueue's Workloads: Kueue (v1beta2) is not installed, or the chart was "
    "installed without queue.provider: kueue",
    retry_after=PATIENT_SECONDS,
)
SETTLED = (Phase.SUSPENDED, Phase.SUCCEEDED, Phase.FAILED)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    """What a job's own status says of its room."""

    uid: str
    standing: Standing
    held: str
    asked: str
    phase: Phase | None
    result: str

    @property
    def settled(self) -> bool:
        """Whether no answer that let it in can be on its way to the record."""
        return self.standing is not Standing.NEITHER or self.phase in SETTLED


class KueueQueue:
    """Asks Kueue for the room of each gang.

    What it knows of Workloads follows from the API and of jobs from their status, so a restart loses nothing.

    Args:
        api: the API server.
        settings: what the installation says of pods.
        wake: has a job looked at.
        namespace: only jobs of it; empty = all.
        clock: the current moment, UTC.
    """

    def __init__(
        self,
        api: ClusterApi,
        settings: PlanSettings,
        wake: Callable[[Key], None],
        namespace: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._settings, self._wake, self._clock = api, settings, wake, clock
        self._rooms = Rooms(api, self._changed, namespace, clock)
        self._jobs: dict[Key, _Known] = {}
        self._asked: dict[Key, float] = {}
        self._turns: dict[Key, asyncio.Lock] = {}
        self._untidy: set[Key] = set()
        self._news = asyncio.Event()

    # -- what is known ------------------------------------------------------------------------------------

    def note(self, job: Job) -> None:
        """Take a job as it is now."""
        key = (job.metadata.namespace, job.metadata.name)
        status = job.status
        held = status.placement.workload if status.placement else ""
        known = _Known(
            uid=job.metadata.uid,
            standing=standing(job) if held or job.spec.get("queueName") else Standing.NEITHER,
            held=held,
            asked=workload_name(job.metadata.name, status.attempt or 0),
            phase=status.phase,
            result=status.failure.message if status.failure else "the job is done",
        )
        if self._jobs.get(key) != known:
            self._jobs[key] = known
            self._mark(key)

    def forget(self, key: Key) -> None:
        """The job is gone: its Workloads go by the garbage collector."""
        for known in (self._jobs, self._asked, self._turns):
            known.pop(key, None)

    def _changed(self, key: Key) -> None:
        self._mark(key)
        self._wake(key)

    def _mark(self, key: Key) -> None:
        self._untidy.add(key)
        self._news.set()

    def _turn(self, key: Key) -> asyncio.Lock:
        """What is asked for a job and what is taken away never cross."""
        return self._turns.setdefault(key, asyncio.Lock())

    def wants_back(self, job: Job) -> str:
        """Why a gang that was let in is to give its room back."""
        placement = job.status.placement
        if (
            placement is None
            or not self._rooms.reflector.synced.is_set()
            or standing(job) is not Standing.HOLDS
        ):
            return ""
        key = (job.metadata.namespace, job.metadata.name)
        for seen in self._rooms.of(key, job.metadata.uid):
            if seen.name == placement.workload:
                return why_wanted_back(seen)
        return f"Kueue's Workload {placement.workload} was deleted"

    # -- the answer ---------------------------------------------------------------------------------------

    async def decide(self, job: Job) -> Admission:
        """Whether Kueue lets this job's gang start.

        Raises:
            ApiError: to be tried again.
        """
        if not self._rooms.reflector.synced.is_set():
            denied = self._rooms.reflector.denied or self._rooms.reflector.missing
            return WAITS_FOR_RIGHTS if denied else Admission(False, retry_after=NOT_READY_SECONDS)
        spec, _ = read_spec(job, self._settings.file_outputs, job.status.runtime)
        if spec is None:
            return Admission(False, retry_after=PATIENT_SECONDS)
        key = (job.metadata.namespace, job.metadata.name)
        self.note(job)
        self._asked[key] = _now()
        try:
            async with self._turn(key):
                return await self._ask(key, job, spec)
        except ApiError as error:
            if error.status in (400, 401, 403, 404, 422):
                text = f"the API server refuses Kueue's objects: {error.message}"
                return Admission(False, "KueueRefused", text, retry_after=PATIENT_SECONDS)
            raise

    async def _ask(self, key: Key, job: Job, spec: JobSpec) -> Admission:
        attempt = job.status.attempt or 0
        asked = workload_name(job.metadata.name, attempt)
        mine = self._rooms.of(key, job.metadata.uid)
        others = [w for w in mine if w.name != asked]
        # what was deactivated stays so, in the one that follows
        active = all(w.active for w in others)
        if active and not await self._rooms.release(job.metadata.uid, others):
            return Admission(False, retry_after=CHANGING_SECONDS)
        found = next((w for w in mine if w.name == asked), None)
        if found is not None and found.holds("Evicted") and found.reserves:
            # let in and taken back before an attempt began
            active = active and found.active
            if not await self._rooms.release(job.metadata.uid, [found]):
                return Admission(False, retry_after=CHANGING_SECONDS)
            found = None
        workers = job.status.workers if job.status.attempt is not None else None
        body = workload(
            job,
            spec,
            attempt,
            workers.desired if workers else spec.nodes,
            self._settings,
            priority=await self._priority(spec),
            active=active,
        )
        if found is None and not await self._rooms.create(key, job.metadata.uid, body):
            return self._conflict(asked)
        if others and not active:
            await self._rooms.release(job.metadata.uid, others)
        if found is None:
            return Admission(False, "WaitingForKueue", self._asks(asked, spec), retry_after=TICK_SECONDS)
        wanted = {name: body["spec"][name] for name in ("queueName", "podSets")}
        if not asks_for(found.spec, wanted):
            # the spec was edited, or somebody else wrote it
            await self._rooms.release(job.metadata.uid, [found])
            return Admission(False, retry_after=NOT_READY_SECONDS)
        return await self._answer(found, str(spec.queue_name))

    @staticmethod
    def _conflict(name: str) -> Admission:
        text = f"Workload {name} exists and is not this job's; delete it, or rename the job"
        return Admission(False, "NameConflict", text, retry_after=PATIENT_SECONDS)

    def _asks(self, name: str, spec: JobSpec) -> str:
        return f"Workload {name} waits in queue {spec.queue_name}, and Kueue has said nothing of it yet"

    async def _priority(self, spec: JobSpec) -> int:
        name = spec.priority_class_name or self._settings.worker_defaults.priority_class_name
        if not name:
            return 0
        try:
            found = await self._api.get("priorityclasses", "", name)
        except ApiError as error:
            if error.status in (401, 403, 404):
                return 0
            raise
        return int(found.get("value") or 0)

    async def _answer(self, known: SeenWorkload, queue: str) -> Admission:
        """A yes is given on what the API server itself says now."""
        if not known.let_in:
            return self._waits(known, queue)
        seen = await self._rooms.read(known)
        if seen is None or not seen.let_in:
            return Admission(False, retry_after=NOT_READY_SECONDS)
        flavors = [await self._api.get("resourceflavors", "", name) for name in flavors_of(seen)]
        try:
            return Admission(True, placement=placement_of(seen, queue, flavors))
        except ValueError as error:
            text = f"Kueue's answer cannot be held by a pod: {error}"
            return Admission(False, "PlacementNotUnderstood", text, retry_after=PATIENT_SECONDS)

    @staticmethod
    def _waits(seen: SeenWorkload, queue: str) -> Admission:
        reason, message = why_it_waits(seen, queue)
        return Admission(False, reason, message, retry_after=PATIENT_SECONDS)

    # -- loops --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rooms.reflector.run())
            group.create_task(self._work())

    async def _work(self) -> None:
        await self._rooms.reflector.synced.wait()
        for key, known in self._jobs.items():
            if known.held:
                # no event tells that a Workload went while nobody looked
                self._wake(key)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._news.wait()
            self._news.clear()
            keys, self._untidy = self._untidy, set()
            for key in keys:
                try:
                    async with self._turn(key):
                        done = await self._tidy(key)
                except ApiError as error:
                    log.warning("workload-not-tidied", job="/".join(key), reason=str(error))
                    done = False
                if not done:
                    self._untidy.add(key)
            if self._untidy:
                await asyncio.sleep(CHANGING_SECONDS)
                self._news.set()

    async def _may_be_in_use(self, key: Key, known: _Known, seen: SeenWorkload) -> bool:
        """Whether an answer that let the job in may be on its way, or a pod that its quota is for is left."""
        if not known.settled and _now() - self._asked.get(key, -GRANT_SECONDS) < GRANT_SECONDS:
            return True
        holds = known.standing is Standing.HOLDS
        return seen.reserves and not holds and await self._rooms.pods_left(key[0], known.uid)

    async def _tidy(self, key: Key) -> bool:
        """Tell Kueue where the job stands. Returns whether nothing is left to do until something changes."""
        known = self._jobs.get(key)
        if known is None:
            return True
        holds = known.standing is Standing.HOLDS
        for seen in self._rooms.of(key, known.uid):
            if holds and seen.name == known.held:
                if known.phase is Phase.RUNNING and not seen.holds("PodsReady"):
                    await self._rooms.tell(seen, "PodsReady", "Started", "all pods of the gang run")
            elif known.standing is Standing.ASKS and (seen.name == known.asked or not seen.active):
                # what was deactivated goes once the one that follows is there
                continue
            elif await self._may_be_in_use(key, known, seen):
                return False
            elif known.phase is not None and known.phase.final and seen.name == known.held:
                if not seen.holds("Finished"):
                    await self._rooms.tell(seen, "Finished", known.phase.value, known.result)
            else:
                return await self._rooms.release(known.uid, [seen]) and await self._tidy(key)
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
