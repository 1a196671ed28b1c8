"""What is between the operator and the API server may answer in its place: trouble that passes, no fault."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from harness.control import Control, eventually

from llmtrain_operator.kube import reflector
from llmtrain_operator.kube.address import ClusterAddress
from llmtrain_operator.kube.api import ApiError, Listing, WatchEvent
from llmtrain_operator.kube.http import HttpApi
from llmtrain_operator.local.memory_api import MemoryApi


class Garbled(MemoryApi):
    """What is between us and the API server sends a page of its own, once in each watch and each list."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.sent = kind, 0

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        if (self.kind, resource) == ("list", "pods") and not self.sent:
            self.sent += 1
            return Listing([], "<html>")
        return await super().list(resource, namespace, selector)

    async def watch(
        self, resource: str, namespace: str, selector: str, resource_version: str
    ) -> AsyncGenerator[WatchEvent]:
        odd = {"object": b"<html>", "error": b'{"code": "x"}', "version": b'{"metadata": {}}', "kind": b"[]"}
        if resource == "pods" and self.kind in odd and not self.sent:
            self.sent += 1
            yield WatchEvent("ERROR" if self.kind == "error" else "ADDED", odd[self.kind])
        async for event in super().watch(resource, namespace, selector, resource_version):
            yield event


@pytest.mark.parametrize("kind", ["list", "object", "error", "version", "kind"])
async def test_an_answer_that_is_none_ends_a_watch_and_nothing_else(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "FIRST_BACKOFF_SECONDS", 0.01)
    api = Garbled(kind)
    async with Control(api).up() as control:
        await eventually("it was sent", lambda: api.sent)
        await control.apply()
        await control.bring_up("tiny-0-0", "tiny-0-1")


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b"[]", b"null", b"\xff"])
async def test_a_page_of_a_proxy_is_an_error_of_the_api(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    api = HttpApi(ClusterAddress("http://nowhere", None))

    async def once(*_: object) -> bytes:
        return body

    monkeypatch.setattr(api, "_once", once)
    with pytest.raises(ApiError, match="502"):
        await api.get("pods", "default", "x")
    with pytest.raises(ApiError, match="502"):
        await api.list("pods", "default", "")
    with pytest.raises(ApiError, match="502"):
        await api.served("v1", "pods")
