"""What is on record as due is delivered: the real engine, real POSTs, and what may go wrong between them."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from harness.control import Control, eventually
from harness.jobs import SETTINGS, T0, manifest, running
from harness.receiver import Receiver, receiver

from llmtrain_api import Job, JobStatus, Notification, NotifyFormat, Phase, changed
from llmtrain_operator.egress import Egress
from llmtrain_operator.kube.api import ApiError, Object
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.notifications import notifier as module
from llmtrain_operator.notifications.body import body_of
from llmtrain_operator.notifications.notifier import AT_ONCE, AT_ONCE_A_NAMESPACE, Notifier
from llmtrain_operator.notifications.post import HttpPost
from llmtrain_operator.types import Outcome, PlanSettings

ALL = ["Running", "Succeeded", "Failed"]
SOON = 20.0


def installed(found: Receiver, *secrets: str) -> PlanSettings:
    egress = Egress(inside=(f"127.0.0.1:{found.port}",), secrets=secrets)
    return replace(SETTINGS, egress=egress)


def states(control: Control, name: str = "tiny") -> list[str]:
    return [one["state"] for one in control.status(name).get("notifications") or ()]


async def test_a_job_is_told_of_in_order_and_once() -> None:
    async with receiver() as found:
        control = Control(MemoryApi(), settings=installed(found))
        async with control.up():
            uid = await control.apply(nodes=1, notify=[{"events": ALL, "url": found.url()}])
            await control.bring_up("tiny-0-0")
            await eventually("delivered", lambda: states(control) == ["Delivered"], SOON)
            await control.memory.patch_status(
                "pods", "default", "tiny-0-0", {"status": {"phase": "Succeeded"}}
            )
            await eventually("delivered", lambda: states(control) == ["Delivered"] * 2, SOON)
    first, last = found.bodies()
    assert (first["id"], last["id"]) == (f"{uid}/Running/0", f"{uid}/Succeeded/0")
    assert first["type"] == "dev.llmtrain.job.running"
    assert first["data"]["message"] == "all pods of attempt 0 run"
    assert "T0KEN" not in json.dumps(control.status())


class DiesBeforeItIsNoted:
    """The API of a process that is killed after a POST, before what became of it is on record."""

    def __init__(self, memory: MemoryApi) -> None:
        self._memory = memory
        self.reached = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._memory, name)

    async def patch_status(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        told = (patch.get("status") or {}).get("notifications") or ()
        if any(one["state"] == "Delivered" for one in told):
            self.reached.set()
            await asyncio.Future()
        return await self._memory.patch_status(resource, namespace, name, patch)


async def test_an_operator_that_dies_after_a_post_tells_it_again_under_the_same_id() -> None:
    memory = MemoryApi()
    async with receiver() as found:
        dying = DiesBeforeItIsNoted(memory)
        async with Control(memory, dying, installed(found)).up() as control:
            await control.apply(nodes=1, notify=[{"events": ALL, "url": found.url()}])
            await control.bring_up("tiny-0-0")
            await asyncio.wait_for(dying.reached.wait(), SOON)
        assert states(control) == ["Pending"]
        async with Control(memory, settings=installed(found)).up() as control:
            await eventually("delivered", lambda: states(control) == ["Delivered"], SOON)
    one, again = found.bodies()
    assert one == again, "a receiver can drop the double"


async def test_a_receiver_that_hangs_holds_nothing_up() -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    async with receiver(hang) as found:
        async with Control(MemoryApi(), settings=installed(found)).up() as control:
            slow = [{"events": ["Running"], "url": found.url()}]
            for number in range(20):
                await control.apply(f"j{number}", nodes=1, notify=slow)
            for number in range(20):
                await control.bring_up(f"j{number}-0-0", job=f"j{number}")
            await eventually("it is called", lambda: found.now == AT_ONCE_A_NAMESPACE, SOON)
            await control.apply("other", nodes=1)
            await control.bring_up("other-0-0", job="other")
        assert found.most == AT_ONCE_A_NAMESPACE
    assert {state for number in range(20) for state in states(control, f"j{number}")} == {"Pending"}


async def test_a_refusal_is_given_up_and_said_once() -> None:
    async with receiver(b"HTTP/1.1 404 T0KEN\r\nContent-Length: 0\r\n\r\n") as found:
        control = Control(MemoryApi(), settings=installed(found))
        async with control.up():
            await control.apply(nodes=1, notify=[{"events": ALL, "url": found.url()}])
            await control.bring_up("tiny-0-0")
            await eventually("given up", lambda: states(control) == ["GivenUp"], SOON)
            await eventually("it is said", lambda: given_up(control), SOON)
    assert len(found.heard) == 1
    assert given_up(control) == ["Running was not told to spec.notify[0]: it answers with status 404"]


def given_up(control: Control) -> list[str]:
    events = control.memory._collections["events"].objects.values()
    return [event["message"] for event in events if event["reason"] == "NotificationGivenUp"]


# -- many at once -----------------------------------------------------------------------------------------


def over(number: int, url: str, namespace: str = "default") -> Job:
    """A job that is over, of which somebody is to be told."""
    found = Job.model_validate(manifest(f"job-{number}", namespace, notify=[{"events": ALL, "url": url}]))
    one = {"receiver": 0, "event": "Succeeded", "attempt": 0, "since": T0, "state": "Pending", "message": "m"}
    status = changed(running(), phase=Phase.SUCCEEDED, notifications=[one])
    meta = changed(found.metadata, uid=f"uid-{namespace}-{number}", namespace=namespace)
    return changed(found, metadata=meta, status=status)


async def test_a_thousand_jobs_that_end_at_once_are_told_a_few_at_a_time() -> None:
    async with receiver() as found:
        awake: Counter[tuple[str, str]] = Counter()
        post = HttpPost(installed(found).egress)
        notifier = Notifier(MemoryApi(), post, lambda key: awake.update([key]))
        running = asyncio.ensure_future(notifier.run())
        jobs = [over(n, found.url(), f"team-{n % 10}") for n in range(1000)]
        for job in jobs:
            notifier.note(job)
        await eventually("all is told", lambda: len(awake) == 1000, 60.0)
        for job in jobs:
            # looked at again before it is on record: nothing is posted twice
            notifier.note(job)
        assert {end.outcome for job in jobs for end in notifier.of(job.metadata.uid)} == {Outcome.DELIVERED}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert found.most <= AT_ONCE
    assert len({event["id"] for event in found.bodies()}) == len(found.heard) == 1000


async def test_a_namespace_whose_receivers_hang_leaves_room_for_others() -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    async with receiver(hang) as hostile, receiver() as found:
        egress = Egress(inside=(f"127.0.0.1:{hostile.port}", f"127.0.0.1:{found.port}"))
        notifier = Notifier(MemoryApi(), HttpPost(egress), lambda _: None)
        running = asyncio.ensure_future(notifier.run())
        for number in range(200):
            notifier.note(over(number, hostile.url(), "hostile"))
        await eventually("they hang", lambda: hostile.now == AT_ONCE_A_NAMESPACE, SOON)
        for number in range(20):
            notifier.note(over(number, found.url(), "quiet"))
        await eventually("the others are told", lambda: len(found.heard) == 20, 5.0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len(hostile.heard) == AT_ONCE_A_NAMESPACE


async def test_it_is_tried_again_and_no_more_once_the_job_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(module, "MAX_PAUSE_SECONDS", 0.05)
    async with receiver(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n") as found:
        notifier = Notifier(MemoryApi(), HttpPost(installed(found).egress), lambda _: None)
        running = asyncio.ensure_future(notifier.run())
        job = over(1, found.url())
        notifier.note(job)
        await eventually("it is tried again", lambda: len(found.heard) >= 4, SOON)
        [end] = notifier.of(job.metadata.uid)
        assert (end.outcome, end.reason) == (Outcome.FAILED, "it answers with status 503")
        assert len({event["id"] for event in found.bodies()}) == 1
        notifier.forget(job.metadata.uid)
        heard = len(found.heard)
        await asyncio.sleep(0.3)
        assert len(found.heard) <= heard + 1
        assert notifier.of(job.metadata.uid) == ()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        notifier.note(job)
        assert not notifier._jobs, "one that has ended begins nothing"


async def test_an_address_put_right_is_used_by_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.05)
    async with receiver(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n") as wrong, receiver() as right:
        egress = Egress(inside=(f"127.0.0.1:{wrong.port}", f"127.0.0.1:{right.port}"))
        notifier = Notifier(MemoryApi(), HttpPost(egress), lambda _: None)
        running = asyncio.ensure_future(notifier.run())
        notifier.note(over(1, wrong.url()))
        await eventually("it is tried", lambda: wrong.heard, SOON)
        notifier.note(over(1, right.url()))
        await eventually("it arrives", lambda: right.heard, SOON)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


# -- URLs in Secrets --------------------------------------------------------------------------------------


async def hook(memory: MemoryApi, **data: str) -> None:
    encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
    await memory.create("secrets", "default", {"metadata": {"name": "hook"}, "data": encoded})


async def told_by_secret(control: Control, *ends: str) -> None:
    by_secret = {"events": ["Running"], "urlSecret": {"name": "hook"}, "format": "slack"}
    await control.apply(nodes=1, notify=[by_secret])
    await control.bring_up("tiny-0-0")
    await eventually(f"{ends}", lambda: states(control) == list(ends), SOON)


async def test_a_url_may_lie_in_a_secret() -> None:
    async with receiver() as found:
        memory = MemoryApi()
        await hook(memory, url=found.url() + "\n")
        control = Control(memory, settings=installed(found, "hook"))
        async with control.up():
            await told_by_secret(control, "Delivered")
    assert found.bodies() == [{"text": "*default/tiny* Running: all pods of attempt 0 run"}]
    everything = [o for c in memory._collections.values() for o in c.objects.values()]
    everything = [o for o in everything if o["metadata"]["name"] != "hook"]
    assert "T0KEN" not in json.dumps(everything)


async def test_a_secret_that_leads_elsewhere_is_given_up_without_a_word_of_it() -> None:
    memory = MemoryApi()
    await hook(memory, url="https://evil-T0KEN.test/T0KEN")
    async with receiver() as found:
        control = Control(memory, settings=installed(found, "hook"))
        async with control.up():
            await told_by_secret(control, "GivenUp")
    assert "notifications.allow" in control.status()["notifications"][0]["reason"]
    assert "T0KEN" not in json.dumps(control.status())


class NoRights(MemoryApi):
    async def get(self, resource: str, namespace: str, name: str) -> Object:
        if resource == "secrets":
            raise ApiError(403, "Forbidden", "secrets T0KEN is forbidden")
        return await super().get(resource, namespace, name)


@pytest.mark.parametrize(
    ("memory", "data", "said"),
    [
        (MemoryApi, None, "NotFound"),
        (NoRights, {"url": "x"}, "Forbidden"),
        (MemoryApi, {"other": "x"}, "no text under the key url"),
    ],
)
async def test_a_secret_that_cannot_be_read_is_waited_for(
    memory: type[MemoryApi], data: dict[str, str] | None, said: str
) -> None:
    api = memory()
    if data is not None:
        await hook(api, **data)
    job = over(1, "unused")
    by_secret = changed(job, spec={**job.spec, "notify": [{"urlSecret": {"name": "hook"}}]})
    notifier = Notifier(api, HttpPost(Egress(everywhere=True)), lambda _: None, ("hook",))
    running = asyncio.ensure_future(notifier.run())
    notifier.note(by_secret)
    [end] = await eventually("it is tried", lambda: notifier.of(job.metadata.uid), SOON)
    assert end.outcome is Outcome.FAILED
    assert said in end.reason
    assert "T0KEN" not in end.reason
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_no_secret_is_read_that_is_not_on_the_list() -> None:
    class Asked(MemoryApi):
        async def get(self, resource: str, namespace: str, name: str) -> Object:
            raise AssertionError(f"{resource} {namespace}/{name} is read")

    job = over(1, "unused")
    by_secret = changed(job, spec={**job.spec, "notify": [{"urlSecret": {"name": "aws"}}]})
    notifier = Notifier(Asked(), HttpPost(Egress(everywhere=True)), lambda _: None, ("hook",))
    running = asyncio.ensure_future(notifier.run())
    notifier.note(by_secret)
    [end] = await eventually("it is refused", lambda: notifier.of(job.metadata.uid), SOON)
    assert end.outcome is Outcome.REFUSED
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


# -- what is posted ---------------------------------------------------------------------------------------


def test_a_cloud_event_has_what_the_specification_wants() -> None:
    job = over(1, "unused")
    assert job.status.notifications
    [one] = job.status.notifications
    body = body_of(job, one, NotifyFormat.CLOUDEVENTS)
    event = json.loads(body.content)
    assert body.kind == "application/cloudevents+json; charset=utf-8"
    assert event["specversion"] == "1.0"
    assert event["id"] == "uid-default-1/Succeeded/0"
    assert event["source"] == "/apis/llmtrain.dev/v1alpha1/namespaces/default/llmtrainingjobs/job-1"
    assert event["time"] == "2026-01-02T03:04:05Z"
    assert event["datacontenttype"] == "application/json"
    assert event["data"]["attempt"] == 0


def test_what_a_job_says_is_no_markup_of_slack() -> None:
    job = over(1, "unused")
    one = Notification.model_validate(
        {
            "receiver": 0,
            "event": "Failed",
            "attempt": 2,
            "since": T0,
            "state": "Pending",
            "message": "<!here> & <a|b>",
        }
    )
    said = json.loads(body_of(job, one, NotifyFormat.SLACK).content)
    assert said == {"text": ":x: *default/job-1* Failed (attempt 2): &lt;!here&gt; &amp; &lt;a|b&gt;"}


def test_a_job_without_notifications_leaves_nothing_behind() -> None:
    notifier = Notifier(MemoryApi(), HttpPost(Egress()), lambda _: None)
    notifier.note(changed(over(1, "unused"), status=JobStatus()))
    assert not notifier._jobs
