"""Which runtime a job is under, by what the API server has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from harness.jobs import job

from llmtrain_api.names import CLUSTER_RUNTIME_PLURAL, RUNTIME_PLURAL
from llmtrain_operator.kube.api import ApiError, Listing
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.runtimes.catalogue import Runtimes

Key = tuple[str, str]


async def put(api: MemoryApi, namespace: str, name: str = "h100", **spec: Any) -> None:
    resource = RUNTIME_PLURAL if namespace else CLUSTER_RUNTIME_PLURAL
    await api.create(resource, namespace, {"metadata": {"name": name}, "spec": spec})


@asynccontextmanager
async def running(
    api: MemoryApi, default: str = "", woken: list[Key] | None = None
) -> AsyncIterator[Runtimes]:
    found = Runtimes(api, (woken if woken is not None else []).append, default=default)
    task = asyncio.create_task(found.run())
    for _ in range(20):
        await asyncio.sleep(0)
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(holds: Callable[[], bool], then: Callable[[], Awaitable[None]] | None = None) -> None:
    if then is not None:
        await then()
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_that_of_the_namespace_comes_before_that_of_the_cluster() -> None:
    api = MemoryApi()
    await put(api, "", defaults={"image": "cluster"})
    async with running(api) as runtimes:
        of = runtimes.of(job(runtime="h100"))
        assert of is not None
        assert of.found is not None
        assert of.found.kind == "ClusterLLMTrainingRuntime"
        await put(api, "default", defaults={"image": "own"})
        await put(api, "elsewhere", defaults={"image": "strangers"})

        def own() -> bool:
            now = runtimes.of(job(runtime="h100"))
            return now is not None and now.found is not None and now.found.kind == "LLMTrainingRuntime"

        await until(own)
        found = runtimes.of(job(runtime="h100"))
        assert found is not None
        assert found.found is not None
        assert found.found.spec["defaults"] == {"image": "own"}


async def test_who_names_none_gets_the_installations_which_nobody_can_replace() -> None:
    api = MemoryApi()
    await put(api, "", "standard", bounds={"maxNodes": 1})
    await put(api, "default", "standard", bounds={})
    async with running(api) as none, running(api, "standard") as one:
        assert none.of(job()) is None
        found = one.of(job())
        assert found is not None
        assert found.found is not None
        assert found.found.kind == "ClusterLLMTrainingRuntime"


async def test_what_is_not_there_is_said_with_the_name_and_who_waits_is_woken() -> None:
    api, woken = MemoryApi(), list[Key]()
    async with running(api, "standard", woken) as runtimes:
        named, unnamed = runtimes.of(job(runtime="h100")), runtimes.of(job(name="other"))
        assert named is not None
        assert unnamed is not None
        assert named.reason == unnamed.reason == "RuntimeMissing"
        assert "no LLMTrainingRuntime h100 in namespace default" in named.message
        assert "names no runtime" in unnamed.message
        await until(lambda: woken == [("default", "tiny")], lambda: put(api, ""))
        await until(lambda: ("default", "other") in woken, lambda: put(api, "", "standard"))
        runtimes.forget(("default", "tiny"))
        before = len(woken)
        api.replace_spec(CLUSTER_RUNTIME_PLURAL, "", "h100", {"bounds": {"maxNodes": 1}})
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(woken) == before, "a job that is gone"


async def test_one_of_the_cluster_is_for_the_namespaces_that_it_names() -> None:
    api = MemoryApi()
    await put(api, "", namespaces=["nlp"], defaults={"image": "private"})
    async with running(api) as runtimes:
        found = runtimes.of(job(runtime="h100"))
        assert found is not None
        assert (found.found, found.reason) == (None, "RuntimeNotForNamespace")
        assert "private" not in found.message
        theirs = runtimes.of(job(namespace="nlp", runtime="h100"))
        assert theirs is not None
        assert theirs.found is not None


async def test_one_that_cannot_be_read_is_not_taken_for_one_without_bounds() -> None:
    api = MemoryApi()
    await put(api, "", bounds={"maxNodes": "many"})
    async with running(api) as runtimes:
        found = runtimes.of(job(runtime="h100"))
        assert found is not None
        assert (found.found, found.reason) == (None, "RuntimeNotReadable")
        assert "spec.bounds.maxNodes" in found.message


class Refusing(MemoryApi):
    """An API server that does not let runtimes be listed."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        if resource == RUNTIME_PLURAL:
            raise ApiError(self.status, "No", "no")
        return await super().list(resource, namespace, selector)


async def test_without_the_right_to_list_them_nothing_begins() -> None:
    api = Refusing(403)
    await put(api, "")
    async with running(api) as runtimes:
        found = runtimes.of(job(runtime="h100"))
        assert found is not None
        assert (found.found, found.reason) == (None, "RuntimesNotListed")


async def test_where_the_kind_is_not_served_there_are_none_of_it() -> None:
    api = Refusing(404)
    await put(api, "")
    async with running(api) as runtimes:
        found = runtimes.of(job(runtime="h100"))
        assert found is not None
        assert found.found is not None


async def test_nothing_is_known_before_the_first_list() -> None:
    found = Runtimes(MemoryApi(), lambda _: None).of(job(runtime="h100"))
    assert found is not None
    assert not found.known
