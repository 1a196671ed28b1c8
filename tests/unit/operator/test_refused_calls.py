"""Whatever the API server answers, to whichever call: it is told in its words, asked again seldom, and ends
no job that could still run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.control import Control, eventually

from llmtrain_operator.engine import reconcile
from llmtrain_operator.kube.api import ApiError, Listing, Object
from llmtrain_operator.kube.reflector import SELECTOR
from llmtrain_operator.local.memory_api import MemoryApi

WORDS = "no such luck, says the proxy"
PASSING = (400, 401, 403, 404, 405, 409, 410, 413, 415, 429, 500, 502, 503, 504)


class Refusing(MemoryApi):
    """An API server that answers one kind of call with one status, each time in a little other words."""

    def __init__(self, verb: str, resource: str, status: int) -> None:
        super().__init__()
        self.call, self.status = (verb, resource), status
        self.well, self.asked = False, 0

    def _answer(self, verb: str, resource: str) -> None:
        if (verb, resource) == self.call and not self.well:
            self.asked += 1
            raise ApiError(self.status, "Odd", f"{WORDS} (request {self.asked})")

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        self._answer("create", resource)
        return await super().create(resource, namespace, body)

    async def delete(self, resource: str, namespace: str, name: str, uid: str, grace_seconds: int) -> None:
        self._answer("delete", resource)
        await super().delete(resource, namespace, name, uid, grace_seconds)

    async def list(self, resource: str, namespace: str, selector: str) -> Listing:
        if selector != SELECTOR:
            self._answer("list", resource)
        return await super().list(resource, namespace, selector)


def told(control: Control) -> Any:
    return WORDS in str(control.status().get("waiting"))


async def bounded(api: Refusing) -> None:
    """No call is made in a tight loop, whoever wakes the job."""
    before = api.asked
    await asyncio.sleep(0.3)
    assert api.asked - before <= 8


class Forgetful(Refusing):
    """And the answer to the first create of a pod is lost."""

    lost = False

    async def create(self, resource: str, namespace: str, body: Object) -> Object:
        made = await super().create(resource, namespace, body)
        if resource == "pods" and not self.lost:
            self.lost = True
            raise ApiError(504, "Timeout", "the answer was lost")
        return made


@pytest.mark.parametrize("status", PASSING)
@pytest.mark.parametrize("resource", ["services", "configmaps", "pods"])
async def test_a_create_that_is_refused_is_waited_for(resource: str, status: int) -> None:
    api = Refusing("create", resource, status)
    async with Control(api).up() as control:
        await control.apply()
        await eventually("told", lambda: told(control))
        await bounded(api)
        assert control.status()["phase"] == "Starting"
        api.well = True
        await control.bring_up("tiny-0-0", "tiny-0-1")
        assert "waiting" not in control.status()


@pytest.mark.parametrize("status", PASSING)
async def test_pods_that_cannot_be_listed_are_waited_for(status: int) -> None:
    """They are listed once an answer was lost: then there may be a pod that nobody knows of."""
    api = Forgetful("list", "pods", status)
    async with Control(api).up() as control:
        await control.apply()
        await eventually("told", lambda: told(control) and api.asked)
        await bounded(api)
        assert set(control.pods()) == {"tiny-0-0"}
        api.well = True
        await control.bring_up("tiny-0-0", "tiny-0-1")


@pytest.mark.parametrize("status", [status for status in PASSING if status not in (404, 409)])
async def test_a_deletion_that_is_refused_is_told_and_asked_again(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "DELETED_RETRY_SECONDS", 0.1)
    api = Refusing("delete", "pods", status)
    async with Control(api).up() as control:
        await control.apply()
        await control.bring_up("tiny-0-0", "tiny-0-1")
        failed: Object = {"status": {"phase": "Failed", "reason": "Evicted", "message": "the disk is full"}}
        await api.patch_status("pods", "default", "tiny-0-1", failed)
        await eventually("told", lambda: told(control))
        waiting = control.status()["waiting"]
        assert waiting["reason"] == "OldPodsTerminating"
        assert "tiny-0-0" in waiting["message"]
        await bounded(api)
        assert control.status()["phase"] == "Restarting"
        api.well = True
        await eventually("the pods are asked to go", lambda: going(control, "tiny-0-0"))
        for name, pod in control.pods().items():
            await api.delete("pods", "default", name, pod["metadata"]["uid"], 0)
        await control.bring_up("tiny-1-0", "tiny-1-1")
        assert "waiting" not in control.status()


def going(control: Control, name: str) -> bool:
    pod = control.pods().get(name)
    return pod is None or "deletionTimestamp" in pod["metadata"]
