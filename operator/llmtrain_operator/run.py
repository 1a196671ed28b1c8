"""Puts the parts together and runs them until a signal comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import kopf
import structlog
from aiohttp import web

from llmtrain_api.names import API_VERSION, CRD_NAME, PLURAL

from . import handlers, health
from .engine.reconcile import KnownJobs, Reconciler
from .engine.workqueue import WorkQueue
from .kube.api import ApiError
from .kube.http import HttpApi, find_cluster
from .kube.reflector import PodReflector
from .kube.store import PodStore
from .metrics import OperatorMetrics
from .report.auth import TokenAuthenticator
from .report.book import ReportBook
from .report.server import ReportServer
from .report.tls import ensure_authority, server_context
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


class Servers:
    """HTTP servers that go down together."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def add(self, app: web.Application, port: int, tls: ssl.SSLContext | None) -> None:
        """Serve on every address of the pod."""
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, port=port, ssl_context=tls).start()

    async def __aenter__(self) -> Servers:
        return self

    async def __aexit__(self, *_: object) -> None:
        for runner in self._runners:
            await runner.cleanup()


@asynccontextmanager
async def background(*loops: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Event]:
    """Run loops that must never end. Yields an event that is set when one does.

    Raises:
        Exception: what the loop that ended raised, after the body is through.
    """
    ended = asyncio.Event()
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(lambda _: ended.set())
    try:
        yield ended
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


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
            await servers.add(health.application(reflector, metrics), settings.health_port, None)
            authority = ""
            if settings.report_url:
                ca = await ensure_authority(api, settings.namespace, settings.tls_secret)
                authority = ca.certificate.decode()
                server = ReportServer(TokenAuthenticator(api), store, book, wake, metrics.count_report)
                tls = server_context(ca, settings.report_hosts.split(","))
                await servers.add(server.application(), settings.report_port, tls)
            plan_settings = PlanSettings(
                trainer_image=settings.trainer_image,
                report_url=settings.report_url or None,
                ca_certificate=authority,
                image_pull_policy=settings.image_pull_policy,
                grace_seconds=settings.grace_seconds,
            )
            reconciler = Reconciler(api, store, book, queue, plan_settings, known)
            log.info("started", image=settings.trainer_image, namespace=settings.watch_namespace or "all")
            async with background(
                reflector.run(), reconciler.run(reflector.synced, settings.workers)
            ) as failed:
                await kopf.operator(
                    registry=handlers.registry(api, queue),
                    settings=handlers.settings(),
                    clusterwide=not settings.watch_namespace,
                    namespaces=[settings.watch_namespace] if settings.watch_namespace else [],
                    stop_flag=failed,
                )
