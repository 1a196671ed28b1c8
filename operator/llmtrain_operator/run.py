"""Puts the parts together and runs them until a signal comes."""

from __future__ import annotations

import asyncio
import signal

import structlog

from llmtrain_api.names import API_VERSION, CRD_NAME, PLURAL

from . import handlers, health
from .engine.known_jobs import KnownJobs
from .engine.reconcile import Reconciler
from .engine.workqueue import WorkQueue
from .kube.address import find_cluster
from .kube.api import ApiError
from .kube.http import HttpApi
from .kube.reflector import PodReflector
from .kube.store import PodStore
from .metrics import OperatorMetrics
from .progress.auth import TokenAuthenticator
from .progress.latest import ReportBook
from .progress.server import ReportServer
from .progress.tls import ensure_authority, server_context
from .runtimes.catalogue import Runtimes
from .scheduling.providers import gang_scheduler
from .serve import Servers, background
from .settings import Settings
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


async def operate(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT."""
    async with HttpApi(await find_cluster()) as api:
        await wait_for_crd(api)
        store, book, queue, known = PodStore(), ReportBook(), WorkQueue(), KnownJobs()
        metrics = OperatorMetrics(known, queue, store)

        def wake(pod: Pod) -> None:
            queue.add((pod.namespace, pod.job))

        reflector = PodReflector(api, store, wake, settings.watch_namespace)
        async with Servers() as servers:
            await servers.add_limited(health.application(reflector, metrics), settings.health_port, None)
            authority = ""
            if settings.report_url:
                ca = await ensure_authority(api, settings.namespace, settings.tls_secret)
                authority = ca.certificate.decode()
                authenticator = TokenAuthenticator(api, lambda uid: store.get(uid) is not None)
                server = ReportServer(authenticator, store, book, known.exists, wake, metrics.count_report)
                tls = server_context(ca, settings.report_hosts.split(","))
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
            )
            gangs = gang_scheduler(
                api,
                store,
                plan_settings,
                queue.add,
                settings.watch_namespace,
                by_nodes=settings.room == "nodes",
            )
            runtimes = Runtimes(api, queue.add, settings.watch_namespace, settings.default_runtime)
            reconciler = Reconciler(
                api, store, book, queue, plan_settings, known, scheduler=gangs, runtimes=runtimes
            )
            log.info("started", image=settings.trainer_image, namespace=settings.watch_namespace or "all")
            async with background(
                reflector.run(),
                gangs.run(),
                runtimes.run(),
                reconciler.run(reflector.synced, settings.workers),
                handlers.watch_jobs(handlers.kopf_runner(api, settings.watch_namespace), queue.add),
            ) as over:
                for number in (signal.SIGINT, signal.SIGTERM):
                    asyncio.get_running_loop().add_signal_handler(number, over.set)
                await over.wait()
