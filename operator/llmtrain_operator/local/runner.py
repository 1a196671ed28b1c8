"""One job on this machine: every part of the operator, with the API in memory and pods as processes."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from llmtrain_api import Job, Phase, Progress, parse_spec
from llmtrain_api.names import PLURAL
from llmtrain_api.schema.range_test import RangeTest

from ..egress import Egress
from ..engine.known_jobs import KnownJobs, ref
from ..engine.reconcile import Reconciler
from ..engine.workqueue import WorkQueue
from ..kube.api import Object
from ..kube.jobs import JobStore
from ..kube.pods import decode_rank
from ..kube.reflector import JobReflector, PodReflector
from ..kube.store import PodStore
from ..manifests.volumes import output_location
from ..notifications.notifier import Notifier
from ..notifications.post import HttpPost
from ..plan.notices import pending
from ..plan.progress import progress_of
from ..progress.latest import ReportBook
from ..progress.server import ReportServer
from ..progress.tls import ensure_authority, server_context
from ..serve import Servers, background
from ..types import Allowed, PlanSettings, Pod
from .kubelet.gpus import gpus, threads
from .kubelet.kubelet import Kubelet, PodDirs
from .kubelet.tokens import PodTokens
from .kubelet.volumes import LOOPBACK
from .saved_jobs import IMAGE, JobFolder, SavedApi, saved_by_name
from .table import Table

GRACE_SECONDS = 30
STOP_SECONDS = 600.0
"""For ranks to save when a person stops the job; a second signal does not wait."""
TELL_SECONDS = 15.0
"""For receivers of notifications to hear of the end."""
EGRESS = Egress(everywhere=True)
"""Who runs a job here could call any address without it."""


class LoopEnded(Exception):
    """A loop that never ends has ended: a bug, told in the log."""


@dataclass(frozen=True)
class RunPlan:
    """What to run.

    Attributes:
        job: the object: new, or as it was kept.
        goes_on: whether it was kept.
        note: why it goes on, for the person who waits.
        runs: folder of claims.
        output: folder that the job writes to.
        range_test: what is tested in place of training; None = it trains.
    """

    job: Object
    goes_on: bool
    runs: Path
    output: Path
    note: str = ""
    range_test: RangeTest | None = None


class Runner:
    """Runs one job to its end, or until a person stops it."""

    def __init__(self, run_plan: RunPlan, job_folder: JobFolder, table: Table) -> None:
        self._work, self._table = run_plan, table
        meta = run_plan.job["metadata"]
        self._key = (str(meta.get("namespace", "default")), str(meta["name"]))
        self._api = SavedApi(job_folder, str(run_plan.output))
        self._store, self._book, self._queue = PodStore(), ReportBook(), WorkQueue()
        self._jobs, self._known, self._tokens = JobStore(), KnownJobs(), PodTokens()
        place = output_location(run_plan.job["spec"]["output"]["uri"]).path
        ranks = parse_spec(run_plan.job["spec"], strict=False).world_size
        dirs = PodDirs(
            claims=run_plan.runs,
            pods=job_folder.folder / "pods",
            logs=job_folder.folder / "logs",
            instead={place: run_plan.output},
            environ={"OMP_NUM_THREADS": threads(ranks), **os.environ},
            gpus=gpus(),
        )
        self._kubelet = Kubelet(self._api, dirs, self._tokens)
        self._over, self._asked, self._told = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._notifier = Notifier(self._api, HttpPost(EGRESS), self._queue.add)
        self._job = Job.model_validate(run_plan.job)
        self._progress: Progress | None = None

    async def run(self) -> Job:
        """The job as it is in the end: over, or stopped.

        Raises:
            LoopEnded: see the log.
        """
        loop = asyncio.get_running_loop()
        # nohup has its way
        hangup = [signal.SIGHUP] if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN else []
        hangup += [signal.SIGINT, signal.SIGTERM]
        for number in hangup:
            loop.add_signal_handler(number, self._ask)
        try:
            async with Servers() as servers:
                await self._live(await self._settings(servers))
        finally:
            await self._kubelet.close()
            for number in hangup:
                loop.remove_signal_handler(number)
        return self._job

    async def _settings(self, servers: Servers) -> PlanSettings:
        """Serve progress reports; what the installation says."""
        authority = await ensure_authority(self._api, self._key[0], "llmtrain-tls")
        server = ReportServer(
            self._tokens, self._store, self._book, self._jobs.exists, self._reported, lambda _: None
        )
        tls = server_context(authority, ["localhost"])
        port = await servers.add_limited(server.application(), 0, tls, host=LOOPBACK)
        return PlanSettings(
            trainer_image=IMAGE,
            report_url=f"https://localhost:{port}",
            ca_certificate=authority.certificate.decode(),
            grace_seconds=GRACE_SECONDS,
            file_outputs=True,
            # a process has this machine's network anyway
            allow=tuple(Allowed),
            egress=EGRESS,
            range_test=self._work.range_test,
        )

    async def _live(self, settings: PlanSettings) -> None:
        reflector = PodReflector(self._api, self._store, self._wake)
        intake = JobReflector(self._api, self._jobs, lambda job: self._queue.add(job.key))
        reconciler = self._reconciler(settings, interrupted(self._job) if self._work.goes_on else None)
        loops = (
            self._kubelet.run(),
            reflector.run(),
            intake.run(),
            self._watch(),
            self._notifier.run(),
            reconciler.run(1, reflector.synced, intake.synced),
        )
        async with background(*loops) as ended:
            await self._apply()
            await _first(self._over, self._asked, ended)
            if self._over.is_set():
                await self._tell_rest(ended)
        if self._over.is_set():
            return
        if not self._asked.is_set():
            raise LoopEnded("a part of the runner ended")
        await self._stop(settings)

    async def _tell_rest(self, ended: asyncio.Event) -> None:
        """Receivers hear of the end, if they answer soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TELL_SECONDS):
                await _first(self._told, self._asked, ended)
        left = [one for one in self._job.status.notifications or () if pending(one)]
        if left:
            names = ", ".join(f"{one.event.value} to spec.notify[{one.receiver}]" for one in left)
            self._table.say(f"not told, as no answer has come: {names}")

    async def _apply(self) -> None:
        if self._work.goes_on:
            self._table.begin_at(self._job.status)
            self._api.restore(self._work.job)
        else:
            await self._api.create(PLURAL, self._key[0], self._work.job)

    async def _stop(self, settings: PlanSettings) -> None:
        """Save and end: nothing is decided while pods end, then it goes on record how they did."""
        self._table.say("stopping: every rank saves a checkpoint (once more ends them at once)")
        await self._kubelet.stop(STOP_SECONDS)
        listing = await self._api.list("pods", "", "")
        pods = [pod for pod in map(decode_rank, listing.items) if pod is not None]
        self._store.replace(pods, int(listing.resource_version))
        attempt = self._job.status.attempt
        if attempt is None:
            # no attempt to put the end of on record; whoever goes on creates the pod once more
            return
        self._jobs.doubt(self._key)
        await self._reconciler(settings, attempt).reconcile(self._key)
        self._take(await self._api.get(PLURAL, *self._key))

    def _reconciler(self, settings: PlanSettings, interrupted_attempt: int | None) -> Reconciler:
        """Args: interrupted_attempt: the attempt that was stopped on request with all that ran it."""
        return Reconciler(
            self._api,
            self._store,
            self._book,
            self._queue,
            settings,
            self._known,
            interrupted_attempt=interrupted_attempt,
            notices=self._notifier,
            jobs=self._jobs,
            others=saved_by_name(self._work.runs),
        )

    async def _watch(self) -> None:
        """Show what becomes of the job."""
        listing = await self._api.list(PLURAL, "", "")
        for raw in listing.items:
            self._take(orjson.loads(raw))
        async for event in self._api.watch(PLURAL, "", "", listing.resource_version):
            self._take(orjson.loads(event.object))

    def _take(self, raw: Object) -> None:
        self._job = Job.model_validate(raw)
        self._table.show(self._job, None if self._is_over() else self._newest())
        if any(map(pending, self._job.status.notifications or ())):
            self._told.clear()
        else:
            self._told.set()
        if self._is_over():
            self._over.set()

    def _is_over(self) -> bool:
        """Whether nothing more will come of it: ended, refused, or suspended."""
        status = self._job.status
        suspended = status.phase is Phase.SUSPENDED and self._job.spec.get("suspend") is True
        ended = status.phase in (Phase.SUCCEEDED, Phase.FAILED)
        return status.refusal is not None or suspended or ended

    def _newest(self) -> Progress | None:
        """Progress as last reported, which may be newer than what is on record."""
        last = self._book.last(ref(self._job), self._job.status.attempt)
        self._progress = self._progress if last is None else progress_of(last)
        return self._progress

    def _reported(self, pod: Pod) -> None:
        """A report came in: it shows at once, though it is put on record more seldom."""
        self._wake(pod)
        if self._table.live and not self._is_over():
            self._table.show(self._job, self._newest())

    def _wake(self, pod: Pod) -> None:
        self._queue.add((pod.namespace, pod.job))

    def _ask(self) -> None:
        """A signal came: the first asks for a checkpoint, the second does not wait for it."""
        if self._asked.is_set():
            self._kubelet.kill()
        self._asked.set()


def interrupted(job: Job) -> int | None:
    """The attempt that was under way when an earlier runner ended, if its gang had been created."""
    attempts = job.status.attempts
    return attempts[-1].number if attempts and attempts[-1].created_at is not None else None


async def _first(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
