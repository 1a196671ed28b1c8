"""Observe, plan, apply, requeue: one job at a time, as often as anything changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import structlog
from pydantic import ValidationError

from llmtrain_api import Job, JobStatus, changed
from llmtrain_api.names import CONTROLLER, PLURAL

from ..kube.api import ApiError, ClusterApi
from ..kube.jobs import JobStore, seen_job
from ..kube.store import PodStore
from ..notifications.source import NoNotices, Notices
from ..plan import plan
from ..plan.events import events_between
from ..plan.refusals import counted
from ..progress.latest import ReportBook
from ..runtimes.source import NoRuntimes, RuntimeSource
from ..scheduling.at_once import AtOnce
from ..scheduling.provider import GangScheduler
from ..tracing.source import NoTraces, Traces
from ..types import CreateChild, CreatePod, Observed, Plan, PlanSettings, Refusal, RefusalKind
from .apply import Applier
from .events import post
from .known_jobs import KnownJobs, ref
from .other_jobs import OtherJobs, job_by_name, other_job
from .pod_words import PodWords
from .workqueue import Key, WorkQueue

log = structlog.get_logger()
RESYNC_SECONDS = 600.0
RESYNC_ROUNDS_OF_FINISHED = 6
"""A finished job only waits to be deleted: it is looked at once in so many rounds."""
INTERNAL_ERROR = "InternalError"
TOLD_AFTER_FAILURES = 2
DELETED_RETRY_SECONDS = 15.0
PASSING = frozenset({"workers", "waiting"})
"""Fields that say how far a gang is in coming up."""
PASSING_SECONDS = 2.0
"""What changes in these alone waits so long for more: pods of a gang start, and end, one by one."""


class Reconciler:
    """The engine of all jobs."""

    def __init__(
        self,
        api: ClusterApi,
        store: PodStore,
        book: ReportBook,
        queue: WorkQueue,
        settings: PlanSettings,
        known: KnownJobs,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        interrupted_attempt: int | None = None,
        scheduler: GangScheduler | None = None,
        words: PodWords | None = None,
        runtimes: RuntimeSource | None = None,
        notices: Notices | None = None,
        traces: Traces | None = None,
        *,
        jobs: JobStore,
        others: OtherJobs | None = None,
    ) -> None:
        self._api = api
        self._store = store
        self._book = book
        self._queue = queue
        self._settings = settings
        self._known = known
        self._clock = clock
        self._since = clock()
        self._interrupted_attempt = interrupted_attempt
        self._scheduler = scheduler or AtOnce()
        self._words = words
        self._runtimes = runtimes or NoRuntimes()
        self._notices = notices or NoNotices()
        self._traces = traces or NoTraces()
        self._jobs = jobs
        self._others = others or job_by_name(jobs)
        self._applier = Applier(api, store, jobs)
        self._refusals: dict[str, Refusal] = {}
        self._not_before: dict[str, float] = {}
        self._passing_since: dict[str, float] = {}

    async def run(self, workers: int, *synced: asyncio.Event) -> None:
        """Work until cancelled, but plan nothing before the first full lists of jobs and pods."""
        for listed in synced:
            await listed.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._resync())
            for _ in range(workers):
                group.create_task(self._work())

    async def _resync(self) -> None:
        """Ask again about every known job now and then: a lost wake-up costs minutes, not a job.

        Spread over the time until the next round, as all at once would keep live jobs waiting.
        """
        turn = 0
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            turn += 1
            for key, job in list(self._known.jobs.items()):
                if not job.final or turn % RESYNC_ROUNDS_OF_FINISHED == 0:
                    self._queue.add_after(key, random.uniform(0.0, RESYNC_SECONDS / 2))

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self.reconcile(key)
            except ApiError as error:
                if error.status == 409:
                    self._queue.add_after(key, 0.0)
                else:
                    delay = self._queue.add_failed(key)
                    log.warning(
                        "reconcile-retry", job="/".join(key), reason=str(error), seconds=round(delay, 2)
                    )
                    if error.status in (400, 422):
                        await self._tell_failure(key, f"the API server refuses its status ({error.reason})")
            except Exception as error:
                # one job's bug must not stop the others
                delay = self._queue.add_failed(key)
                log.exception("reconcile-failed", job="/".join(key), seconds=round(delay, 2))
                await self._tell_failure(key, f"a fault in the operator ({type(error).__name__})")
            finally:
                self._queue.done(key)
            # a look that needs no answer, with another job ready, would keep all else waiting
            await asyncio.sleep(0)

    async def reconcile(self, key: Key) -> None:
        """One step of one job.

        Raises:
            ApiError: to be tried again.
        """
        found = await self._read(key)
        if found is None:
            return
        job, raw_status = found
        now = self._clock()
        decision = await self._decide(job, now)
        if decision.doubts:
            news = await self._applier.learns_of_pods(job)
            if news:
                self._queue.add_after(key, 0.0 if news is True else DELETED_RETRY_SECONDS)
                return
        rest = self._seconds_to_write(job, decision)
        if rest > 0:
            self._queue.add_after(key, rest)
            return
        wrote = await self._applier.write_status(job, raw_status, decision.status)
        if wrote:
            self._note(changed(job, status=decision.status))
            await self._tell(job, decision.status, now)
            if decision.status.attempt != job.status.attempt:
                # what was refused was the attempt before
                self._note_refusal(job, None)
        left = self._seconds_to_retry(job, decision)
        if left > 0:
            # whatever woke the key: what was refused just now is not asked for again yet
            self._queue.add_after(key, left)
            return
        refusal: Refusal | None = None
        makes_pods = any(isinstance(action, CreatePod) for action in decision.actions)
        if makes_pods and not self._applier.knows_pods(job):
            news = await self._applier.learns_of_pods(job)
            if news is True:
                self._queue.add_after(key, 0.0)
                return
            refusal = news or None
        refusal = refusal or await self._applier.act(job, decision.actions)
        self._again(key, job, decision, wrote, refusal)

    async def _decide(self, job: Job, now: datetime) -> Plan:
        """The plan; the queue is asked only where the plan hangs on it."""
        seen = self._observe(job)
        self._traces.note(seen, now)
        if self._words is not None:
            seen = replace(seen, word=await self._words.of_job(seen, now))
        decision = plan(seen, now)
        if decision.asks:
            answer = await self._scheduler.decide(changed(job, status=decision.status))
            decision = plan(replace(seen, admission=answer), now)
        return without_internal_error(decision)

    def _note(self, job: Job) -> None:
        self._known.note(job)
        self._scheduler.note(job)
        self._notices.note(job)

    async def _read(self, key: Key) -> tuple[Job, dict[str, object]] | None:
        """The job as it is known and its raw status; None when there is nothing to decide on."""
        if self._jobs.doubted(key):
            await self._read_again(key)
        seen = self._jobs.find(key)
        if seen is None:
            self._forget(key)
            return None
        raw = orjson.loads(seen.raw)
        try:
            job = Job.model_validate(raw)
        except ValidationError as error:
            log.error("status-not-understood", job="/".join(key), reason=str(error))
            self._queue.add_failed(key)
            await self._tell_failure(key, f"this operator cannot read its {unreadable(error)}")
            return None
        if job.spec.get("managedBy", CONTROLLER) != CONTROLLER:
            # what another controller does with it, and what its status says, is no business of ours
            return None
        self._note(job)
        return job, raw.get("status", {})

    async def _read_again(self, key: Key) -> None:
        """From the API server itself.

        Raises:
            ApiError: it could not be asked.
        """
        try:
            self._jobs.read(key, seen_job(await self._api.get(PLURAL, *key)))
        except ApiError as error:
            if error.status != 404:
                raise
            self._jobs.read(key, None)

    def _again(self, key: Key, job: Job, decision: Plan, wrote: bool, refusal: Refusal | None) -> None:
        """When to look at the job next, if nothing wakes it earlier."""
        before = self._refusals.get(job.metadata.uid)
        if refusal is not None or creates(decision) or (before and before.kind is RefusalKind.DELETION):
            refusal = counted(before, refusal)
            self._note_refusal(job, refusal)
            if refusal is not None:
                self._hold_back(key, job, recorded=refusal == before)
                return
        if creates(decision) or wrote:
            self._queue.add_after(key, 0.0)
        elif decision.actions:
            # deletions: the watch tells when they are through; ask again only in case it does not
            self._queue.add_after(key, DELETED_RETRY_SECONDS)
        self._queue.forget(key)
        if decision.requeue_after is not None:
            self._queue.add_after(key, decision.requeue_after)

    def _hold_back(self, key: Key, job: Job, recorded: bool) -> None:
        """Ask for what was refused again later; a new refusal goes on record at once."""
        delay = self._queue.backoff(key)
        self._not_before[job.metadata.uid] = asyncio.get_running_loop().time() + delay
        self._queue.add_after(key, delay if recorded else 0.0)

    def _seconds_to_write(self, job: Job, decision: Plan) -> float:
        """How long a status waits that says little more than the one on record, where nothing else is to be
        done: what follows soon is written with it."""
        if decision.actions or decision.doubts or not only_passing(job.status, decision.status):
            self._passing_since.pop(job.metadata.uid, None)
            return 0.0
        now = asyncio.get_running_loop().time()
        left = self._passing_since.setdefault(job.metadata.uid, now) + PASSING_SECONDS - now
        if left <= 0:
            del self._passing_since[job.metadata.uid]
        return left

    def _seconds_to_retry(self, job: Job, decision: Plan) -> float:
        """How long the actions of a plan wait, if any of them is of the kind that was refused."""
        due, refusal = self._not_before.get(job.metadata.uid), self._refusals.get(job.metadata.uid)
        if due is None or refusal is None or not decision.actions:
            return 0.0
        if refusal.kind is not RefusalKind.DELETION and not creates(decision):
            return 0.0
        return due - asyncio.get_running_loop().time()

    async def _tell_failure(self, key: Key, what: str) -> None:
        """What fails again and again stands in the object too, where its owner looks."""
        if self._queue.failures(key) < TOLD_AFTER_FAILURES:
            return
        waiting = {"reason": INTERNAL_ERROR, "message": f"{what}; it is tried again, see the operator's log"}
        try:
            found = await self._api.get(PLURAL, *key)
            if found.get("status", {}).get("waiting") != waiting:
                self._jobs.doubt(key)
                await self._api.patch_status(PLURAL, *key, {"status": {"waiting": waiting}})
        except ApiError as error:
            log.warning("failure-not-told", job="/".join(key), reason=str(error))

    def _observe(self, job: Job) -> Observed:
        uid = job.metadata.uid
        return Observed(
            job=job,
            pods=self._store.of_job(ref(job)),
            report=self._book.last(ref(job), job.status.attempt),
            refusal=self._refusals.get(uid),
            settings=self._settings,
            lost=self._lost(job),
            interrupted_attempt=self._interrupted_attempt,
            watched_since=self._since,
            admission=None,
            runtime=self._runtimes.of(job),
            other=other_job(job, self._others),
            reclaimed=self._scheduler.wants_back(job),
            deliveries=self._notices.of(uid),
        )

    def _lost(self, job: Job) -> frozenset[int]:
        """Ranks of the current attempt, or 0 for the pod before the first, that were there and are not."""
        attempt, setup = job.status.attempt, job.status.setup
        if attempt is not None:
            return self._store.lost(ref(job), attempt)
        return frozenset() if setup is None else self._store.lost(ref(job), setup.number, setup.stage)

    def _note_refusal(self, job: Job, refusal: Refusal | None) -> None:
        if refusal is None:
            self._refusals.pop(job.metadata.uid, None)
            self._not_before.pop(job.metadata.uid, None)
        else:
            self._refusals[job.metadata.uid] = refusal

    async def _tell(self, job: Job, new: JobStatus, now: datetime) -> None:
        for event in events_between(job.status, new):
            log.info(
                "phase",
                job=f"{job.metadata.namespace}/{job.metadata.name}",
                uid=job.metadata.uid,
                attempt=new.attempt,
                phase=new.phase,
                reason=event.reason,
                message=event.message,
            )
            await post(self._api, job, new.attempt, event, now)

    def _forget(self, key: Key) -> None:
        self._scheduler.forget(key)
        self._runtimes.forget(key)
        job = self._known.jobs.pop(key, None)
        if job is not None:
            self._book.forget(job.ref)
            self._store.forget(job.ref)
            self._applier.forget(job.ref.uid)
            self._notices.forget(job.ref.uid)
            self._traces.forget(job.ref.uid)
            self._passing_since.pop(job.ref.uid, None)
            self._refusals.pop(job.ref.uid, None)
            self._not_before.pop(job.ref.uid, None)
            log.info("gone", job="/".join(key), uid=job.ref.uid)


def creates(decision: Plan) -> bool:
    """Whether the plan makes anything."""
    return any(isinstance(action, CreatePod | CreateChild) for action in decision.actions)


def only_passing(old: JobStatus, new: JobStatus) -> bool:
    """Whether nothing but fields of `PASSING` differs, and something does."""
    differ = {name for name in JobStatus.model_fields if getattr(old, name) != getattr(new, name)}
    return bool(differ) and differ <= PASSING


def unreadable(error: ValidationError) -> str:
    """Which field of an object this version does not understand."""
    found = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in found['loc'])}: {found['msg']}"


def without_internal_error(decision: Plan) -> Plan:
    """A plan was made, so what an earlier failure put into the status is over."""
    waiting = decision.status.waiting
    if waiting is None or waiting.reason != INTERNAL_ERROR:
        return decision
    return replace(decision, status=changed(decision.status, waiting=None))
