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


async def operate(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    async with HttpApi(await find_cluster()) as api:
        await wait_for_crd(api)
        store, jobs, book = PodStore(), JobStore(), ReportBook()
        queue, known = WorkQueue(), KnownJobs()
        elector = Elector(api, seat_of(settings))
        metrics = OperatorMetrics(known, queue, store, lambda: elector.leads)

        def wake(pod: Pod) -> None:
            queue.add((pod.namespace, pod.job))

        reflector = PodReflector(api, store, wake, settings.watch_namespace)
        kopf = handlers.KopfWatch(api, handlers.kopf_runner(api, settings.watch_namespace))
        sweeps = Sweeps(api, jobs, settings.watch_namespace)

        def heard(job: SeenJob) -> None:
            queue.add(job.key)
            sweeps.wake()

        intake = JobReflector(kopf, jobs, heard, settings.watch_namespace)
        async with Servers() as servers:
            await servers.add_limited(health.application(reflector, metrics), settings.health_port, None)
            traced = collector(settings, metrics, servers)
            authority = ""
            if settings.report_url:
                ca = await ensure_authority(api, settings.namespace, settings.tls_secret)
                authority = ca.certificate.decode()
                authenticator = TokenAuthenticator(api, lambda uid: store.get(uid) is not None)
                hosts = settings.report_hosts.split(",")
                ahead = Ahead(elector, ca, hosts[0])
                servers.closes(ahead.close)
                server = ReportServer(
                    authenticator, store, book, jobs.exists, wake, metrics.count_report, ahead.forward
                )
                tls = server_context(ca, hosts)
                await servers.add_limited(server.application(), settings.report_port, tls)
            plan_settings = PlanSettings(
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
                traces=traced is not None,
                run_as_user=settings.run_as_user,
            )
            fenced = api.guarded(elector.seconds_left)
            runtimes = Runtimes(api, queue.add, settings.watch_namespace, settings.default_runtime)

            async def work() -> None:
                known.jobs.clear()
                await take_over((reflector, intake), jobs, queue)
                gangs = gang_scheduler(
                    fenced,
                    store,
                    plan_settings,
                    queue.add,
                    settings.watch_namespace,
                    by_nodes=settings.room == "nodes",
                )
                egress = plan_settings.egress
                notifier = Notifier(
                    fenced, HttpPost(egress), queue.add, egress.secrets, metrics.count_notification
                )
                reconciler = Reconciler(
                    fenced,
                    store,
                    book,
                    queue,
                    plan_settings,
                    known,
                    scheduler=gangs,
                    words=PodWords(fenced),
                    runtimes=runtimes,
                    notices=notifier,
                    traces=None if traced is None else Tracer(traced),
                    jobs=jobs,
                )
                async with asyncio.TaskGroup() as group:
                    group.create_task(gangs.run())
                    group.create_task(notifier.run())
                    group.create_task(sweeps.run(fenced, intake.synced))
                    group.create_task(reconciler.run(settings.workers, reflector.synced, intake.synced))

            log.info("started", image=settings.trainer_image, namespace=settings.watch_namespace or "all")
            reading = (reflector.run(), kopf.run(), intake.run(), runtimes.run(), sweeps.follow())
            async with background(*reading, lead(elector, work)) as over:
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, over.set)
                await over.wait()
