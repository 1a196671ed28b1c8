"""Puts the parts together and runs them until a signal comes."""

from __future__ import annotations

import asyncio
import signal
import socket
import uuid

import structlog

from llmtrain_api.names import API_VERSION, CRD_NAME, PLURAL

from . import handlers, health
from .egress import Egress
from .engine.known_jobs import KnownJobs
from .engine.leading import lead, take_over
from .engine.pod_words import PodWords
from .engine.reconcile import Reconciler
from .engine.workqueue import WorkQueue
from .heap import spare_first_looks, spare_what_stays
from .kube.address import find_cluster
from .kube.api import ApiError
from .kube.http import HttpApi
from .kube.jobs import JobStore, SeenJob
from .kube.lease import Elector, Seat
from .kube.reflector import JobReflector, PodReflector
from .kube.store import PodStore
from .metrics import OperatorMetrics
from .notifications.notifier import Notifier
from .notifications.post import HttpPost
from .progress.ahead import Ahead
from .progress.auth import TokenAuthenticator
from .progress.latest import ReportBook
from .progress.server import ReportServer
from .progress.tls import ensure_authority, server_context
from .runtimes.catalogue import Runtimes
from .scheduling.providers import gang_scheduler
from .serve import Servers, background
from .settings import Settings
from .sweeps.controller import Sweeps
from .tracing.tracer import Tell, Tracer
from .types import PlanSettings, Pod

CRD_WAIT_SECONDS = 60
log = structlog.get_logger()


class NotInstalled(RuntimeError):
    """The API server does not serve our kind."""


async def wait_for_crd(api: HttpApi) -> None:
    """Until the API server serves LLMTrainingJob: with its scanning off, Kopf would look once and then idle.

    Raises:
        NotInstalled: not within a minute.
    """
    for _ in range(CRD_WAIT_SECONDS):
        try:
            if await api.served(API_VERSION, PLURAL):
                return
        except ApiError as error:
            log.warning("api-not-ready", reason=str(error))
        await asyncio.sleep(1)
    raise NotInstalled(f"CustomResourceDefinition {CRD_NAME} is not served; install the chart or the CRD")


def seat_of(settings: Settings) -> Seat:
    """Where the Lease is, and a name that no other process has."""
    host = f"[{settings.pod_ip}]" if ":" in settings.pod_ip else settings.pod_ip
    return Seat(
        namespace=settings.namespace,
        name=settings.lease,
        identity=f"{settings.identity or socket.gethostname()}_{uuid.uuid4()}",
        address=f"https://{host}:{settings.report_port}" if host else "",
        seconds=float(settings.lease_seconds),
    )


def collector(settings: Settings, metrics: OperatorMetrics, servers: Servers) -> Tell | None:
    """Takes traces to the collector that the installation names; None where it names none."""
    if not settings.trace_endpoint:
        return None
    from .tracing.otlp import Otlp

    otlp = Otlp(settings.trace_endpoint, metrics.count_traces)
    servers.closes(otlp.close)
    return otlp.tell


def plan_settings(settings: Settings, authority: str, *, traces: bool) -> PlanSettings:
    """What plans go by.

    Args:
        settings: of this installation.
        authority: certificate that pods trust when they report, as PEM; empty where nobody listens.
        traces: whether a collector takes traces.
    """
    return PlanSettings(
        trainer_image=settings.trainer_image,
        report_url=settings.report_url or None,
        ca_certificate=authority,
        image_pull_policy=settings.image_pull_policy,
        grace_seconds=settings.grace_seconds,
        unreachable_seconds=settings.unreachable_seconds,
        lost_node_seconds=settings.lost_node_seconds,
        network_policy=settings.network_policy,
        metrics_namespace=settings.metrics_namespace,
        scratch_size=settings.scratch_size,
        scratch_request=settings.scratch_request,
        worker_defaults=settings.worker_defaults,
        start_seconds=float(settings.start_seconds),
        grow_seconds=float(settings.grow_seconds),
        allow=settings.allow,
        gpu_hour_price=settings.gpu_hour_price,
        currency=settings.currency,
        provider=settings.provider,
        egress=Egress(
            allow=settings.notify_allow,
            inside=settings.notify_inside,
            secrets=settings.notify_secrets,
        ),
        traces=traces,
        run_as_user=settings.run_as_user,
    )


class Operator:
    """All parts of the operator: those that read run in every process, those that write where it leads."""

    def __init__(self, api: HttpApi, settings: Settings) -> None:
        self._api, self._settings = api, settings
        self._store, self._jobs, self._book = PodStore(), JobStore(), ReportBook()
        self._queue, self._known = WorkQueue(), KnownJobs()
        self._elector = Elector(api, seat_of(settings))
        self._metrics = OperatorMetrics(self._known, self._queue, self._store, lambda: self._elector.leads)
        watched = settings.watch_namespace
        self._pods = PodReflector(api, self._store, self._wake, watched)
        self._kopf = handlers.KopfWatch(api, handlers.kopf_runner(api, watched))
        self._sweeps = Sweeps(api, self._jobs, watched)
        self._intake = JobReflector(self._kopf, self._jobs, self._heard, watched)
        self._runtimes = Runtimes(api, self._queue.add, watched, settings.default_runtime)

    async def run(self) -> None:
        """Serve, read, and work where this process leads, until SIGTERM or SIGINT."""
        async with Servers() as servers:
            health_page = health.application(self._pods, self._metrics)
            await servers.add_limited(health_page, self._settings.health_port, None)
            traced = collector(self._settings, self._metrics, servers)
            authority = await self._take_reports(servers) if self._settings.report_url else ""
            going_by = plan_settings(self._settings, authority, traces=traced is not None)
            log.info(
                "started",
                image=self._settings.trainer_image,
                namespace=self._settings.watch_namespace or "all",
            )
            readers = (self._pods, self._kopf, self._intake, self._runtimes)
            reading = (*(reader.run() for reader in readers), self._sweeps.follow())
            leading = lead(self._elector, lambda: self._work(going_by, traced))
            async with background(*reading, leading) as over:
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, over.set)
                await over.wait()

    def _wake(self, pod: Pod) -> None:
        self._queue.add((pod.namespace, pod.job))

    def _heard(self, job: SeenJob) -> None:
        self._queue.add(job.key)
        self._sweeps.wake()

    async def _take_reports(self, servers: Servers) -> str:
        """Serve the ranks' reports. Returns the certificate that they trust, as PEM."""
        settings = self._settings
        ca = await ensure_authority(self._api, settings.namespace, settings.tls_secret)
        hosts = settings.report_hosts.split(",")
        ahead = Ahead(self._elector, ca, hosts[0])
        servers.closes(ahead.close)
        server = ReportServer(
            TokenAuthenticator(self._api, lambda uid: self._store.get(uid) is not None),
            self._store,
            self._book,
            self._jobs.exists,
            self._wake,
            self._metrics.count_report,
            ahead.forward,
        )
        await servers.add_limited(server.application(), settings.report_port, server_context(ca, hosts))
        return ca.certificate.decode()

    async def _work(self, going_by: PlanSettings, traced: Tell | None) -> None:
        """Decide and write, for as long as this process leads."""
        self._known.jobs.clear()
        await take_over((self._pods, self._intake), self._jobs, self._queue)
        # all jobs and pods of the cluster, before they are decided on
        spare_what_stays()
        fenced = self._api.guarded(self._elector.seconds_left)
        gangs = gang_scheduler(
            fenced,
            self._store,
            going_by,
            self._queue.add,
            self._settings.watch_namespace,
            by_nodes=self._settings.room == "nodes",
        )
        post, told = HttpPost(going_by.egress), self._metrics.count_notification
        notifier = Notifier(fenced, post, self._queue.add, going_by.egress.secrets, told)
        reconciler = Reconciler(
            fenced,
            self._store,
            self._book,
            self._queue,
            going_by,
            self._known,
            scheduler=gangs,
            words=PodWords(fenced),
            runtimes=self._runtimes,
            notices=notifier,
            traces=None if traced is None else Tracer(traced),
            jobs=self._jobs,
        )
        synced = (self._pods.synced, self._intake.synced)
        async with asyncio.TaskGroup() as group:
            group.create_task(gangs.run())
            group.create_task(notifier.run())
            group.create_task(self._sweeps.run(fenced, self._intake.synced))
            group.create_task(reconciler.run(self._settings.workers, *synced))
            group.create_task(spare_first_looks(self._queue.__len__))


async def operate(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        NotInstalled: the API server does not serve our kind.
    """
    async with HttpApi(await find_cluster()) as api:
        await wait_for_crd(api)
        await Operator(api, settings).run()
