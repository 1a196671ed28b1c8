"""Kopf against a server that breaks its watches: it begins anew, and the engine beside it never stops."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from harness.control import eventually

from llmtrain_api.names import API_VERSION, GROUP, KIND, PLURAL, VERSION
from llmtrain_operator import handlers
from llmtrain_operator.kube import reflector
from llmtrain_operator.kube.address import ClusterAddress
from llmtrain_operator.kube.api import WatchEvent
from llmtrain_operator.kube.http import HttpApi
from llmtrain_operator.kube.jobs import JobStore, SeenJob
from llmtrain_operator.kube.reflector import JobReflector
from llmtrain_operator.local.memory_api import MemoryApi

JOBS = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


def _resource(plural: str, kind: str) -> dict[str, object]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}


def _group(name: str, version: str) -> dict[str, object]:
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def job(name: str, version: int) -> dict[str, object]:
    meta = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": meta, "spec": {}}


class Server:
    """Discovery, a list, and watches of which the first ends with an ERROR event."""

    def __init__(self, code: int) -> None:
        self.code, self.lists, self.watches = code, 0, 0

    def application(self) -> web.Application:
        app = web.Application()
        groups = [_group(GROUP, VERSION), _group("apiextensions.k8s.io", "v1")]
        for path, body in {
            "/api": {"versions": ["v1"]},
            "/api/v1": {"resources": [_resource("namespaces", "Namespace"), _resource("events", "Event")]},
            "/apis": {"groups": groups},
            f"/apis/{API_VERSION}": {"resources": [_resource(PLURAL, KIND)]},
            "/apis/apiextensions.k8s.io/v1": {
                "resources": [_resource("customresourcedefinitions", "CustomResourceDefinition")]
            },
        }.items():
            app.router.add_get(path, self._answer(body))
        app.router.add_get(JOBS, self.jobs)
        return app

    @staticmethod
    def _answer(body: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response(body)

        return answer

    async def jobs(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") != "true":
            self.lists += 1
            found = [job("listed", 4)]
            if not self.watches:
                # it goes while nobody watches
                found.append(job("deleted", 3))
            return web.json_response({"metadata": {"resourceVersion": "5"}, "items": found})
        self.watches += 1
        stream = web.StreamResponse()
        await stream.prepare(request)
        if self.watches == 1:
            event = {"type": "ERROR", "object": {"code": self.code, "message": "etcd leader changed"}}
        else:
            event = {"type": "ADDED", "object": job("watched", 6)}
        await stream.write(json.dumps(event).encode() + b"\n")
        if self.watches > 1:
            await asyncio.sleep(3600)
        return stream


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("code", [500, 504])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_an_error_event_ends_a_watch_and_nothing_else(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(reflector, "FIRST_BACKOFF_SECONDS", 0.01)
    server, jobs, woken = Server(code), JobStore(), []
    async with serving(server.application()) as address, HttpApi(ClusterAddress(address, None)) as api:
        main = threading.get_ident()

        def wake(seen: SeenJob) -> None:
            assert threading.get_ident() == main, "the store belongs to the engine's thread"
            woken.append(seen.name)

        engine = asyncio.create_task(asyncio.sleep(3600))
        kopf = handlers.KopfWatch(api, handlers.kopf_runner(api, ""))
        watch = asyncio.create_task(kopf.run())
        reflect = asyncio.create_task(JobReflector(kopf, jobs, wake).run())
        await eventually("the second watch tells", lambda: jobs.find(("default", "watched")), 30)
        await eventually("what was deleted in between is missed", lambda: "deleted" not in jobs_of(jobs), 30)
        assert "watched" in woken
        assert server.lists >= 3, "nothing is missed: it lists anew"
        late = asyncio.create_task(asyncio.sleep(3600))
        assert not watch.done()
        for task in (watch, reflect):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        for task in (engine, late):
            assert not task.cancelled()
            task.cancel()
        await asyncio.gather(engine, late, return_exceptions=True)


def jobs_of(jobs: JobStore) -> set[str]:
    return {name for _, name in jobs}


async def test_it_begins_anew_whatever_it_dies_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "FIRST_PAUSE_SECONDS", 0.01)
    lives = 0

    async def run(take: handlers.Take, stop: threading.Event) -> None:
        nonlocal lives
        lives += 1
        take(WatchEvent("ADDED", str(lives).encode()))
        if lives < 3:
            raise RuntimeError("watch broken")
        await asyncio.to_thread(stop.wait)

    kopf = handlers.KopfWatch(MemoryApi(), run)
    watch = asyncio.create_task(kopf.run())
    await eventually("the third life", lambda: lives == 3)
    stream = kopf.watch(PLURAL, "", "", "0")
    told = [(await anext(stream)).object for _ in range(5)]
    anew = handlers.LIST_ANEW.object
    assert told == [b"1", anew, b"2", anew, b"3"], "each life but the first has the reflector list anew"
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
