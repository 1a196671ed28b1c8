"""A pod is a rank only if the job controls it, in the job's namespace, under the name of that rank."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from harness.control import Control, eventually, labels_of, owner_of, pod_body

from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB_UID, LABEL_MANAGED_BY, LABEL_RANK, PLURAL, REPORT_PATH
from llmtrain_operator import plan
from llmtrain_operator.kube import pods, reflector, store
from llmtrain_operator.kube.pods import decode_pod, decode_rank
from llmtrain_operator.local.kubelet.tokens import PodTokens
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.plan import create, situation
from llmtrain_operator.progress.auth import PodIdentity
from llmtrain_operator.progress.server import ReportServer

GANG = ("tiny-0-0", "tiny-0-1")
FORGED_END = {"outcome": "Failed", "failureClass": "ConfigError", "message": "pwned"}
Body = dict[str, Any]


def strangers(uid: str) -> dict[str, tuple[str, Body]]:
    """Pods that say they are a rank of the victim: (namespace, pod)."""
    two_owners = pod_body("tiny-0-7", labels_of(uid), owner_of(uid))
    two_owners["metadata"]["ownerReferences"][0]["controller"] = False
    no_rank = labels_of(uid)
    del no_rank[LABEL_RANK]
    return {
        "labels in another namespace": ("attacker", pod_body("evil", labels_of(uid))),
        "all of it in another namespace": ("attacker", pod_body("tiny-0-0", labels_of(uid), owner_of(uid))),
        "labels in the same namespace": ("default", pod_body("evil", labels_of(uid))),
        "owner, but another name": ("default", pod_body("evil", labels_of(uid), owner_of(uid))),
        "owner that is no controller": ("default", two_owners),
        "labels without a rank": ("default", pod_body("debug", no_rank)),
        "the owner is another job": (
            "default",
            pod_body("tiny-0-5", labels_of(uid, rank=5), owner_of("another-uid")),
        ),
    }


KINDS = sorted(strangers("u"))


async def forged_end(control: Control, kind: str) -> None:
    """A stranger's pod fails with a ConfigError beside a gang that runs."""
    uid = await control.apply()
    await control.bring_up(*GANG)
    namespace, body = strangers(uid)[kind]
    name = body["metadata"]["name"]
    await control.memory.create("pods", namespace, body)
    ended = {"exitCode": 1, "message": json.dumps(FORGED_END), "finishedAt": "2026-01-02T03:04:05Z"}
    status = {
        "phase": "Failed",
        "containerStatuses": [{"name": "trainer", "state": {"terminated": ended}}],
    }
    await control.memory.patch_status("pods", namespace, name, {"status": status})
    # what comes after it in the watch was looked at: so was it
    await control.memory.patch_status("pods", "default", "tiny-0-1", {"status": {"message": "after"}})

    def looked_at() -> bool:
        pod = control.store.get(control.pods()["tiny-0-1"]["metadata"]["uid"])
        return pod is not None and pod.message == "after"

    await eventually("the last event was taken", looked_at)
    control.queue.add(("default", "tiny"))
    await eventually("the job was looked at", lambda: not len(control.queue) and not control.queue._working)
    await asyncio.sleep(0.2)  # longer than the evidence of a failure is collected for
    await eventually("again", lambda: not len(control.queue) and not control.queue._working)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_strangers_end_is_not_the_jobs(kind: str) -> None:
    async with Control(MemoryApi()).up() as control:
        await forged_end(control, kind)
        assert control.status()["phase"] == "Running"
        assert control.status()["restarts"]["total"] == 0
        assert set(GANG) <= set(control.pods()), "nothing of the victim's was deleted"
        assert not any("deletionTimestamp" in control.pods()[name]["metadata"] for name in GANG)


def any_owner(meta: pods._Meta) -> pods._Owner:
    return pods._Owner("", "", "tiny", meta.labels[LABEL_JOB_UID])


def place_by_labels(meta: pods._Meta, _: object) -> pods.Place:
    return pods.Place(int(meta.labels[LABEL_ATTEMPT]), int(meta.labels[LABEL_RANK]), None)


def trusts_labels(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pods, "_controller", any_owner)
    patch.setattr(pods, "_place", place_by_labels)


def by_uid_alone(self: store.PodStore, job: Any) -> tuple[Any, ...]:
    return tuple(sorted((p for p in self._pods.values() if p.job_uid == job.uid), key=lambda p: p.uid))


MUTANTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "labels instead of the controller": ("labels in the same namespace", trusts_labels),
    "any name": (
        "owner, but another name",
        lambda patch: patch.setattr(pods, "_place", place_by_labels),
    ),
    "a controller by its UID alone, in any namespace": (
        "all of it in another namespace",
        lambda patch: patch.setattr(store.PodStore, "of_job", by_uid_alone),
    ),
}


def takes_what_the_cache_has(patch: pytest.MonkeyPatch) -> None:
    """The decision's own check of who is a rank is gone: only what is decoded and filed protects the job."""
    patch.setattr(situation, "is_pod_of", lambda *_: True)
    patch.setattr(plan, "POLICIES", tuple(p for p in plan.POLICIES if p is not create.tell_twins))


@pytest.mark.parametrize("mutant", sorted(MUTANTS))
async def test_each_half_of_the_rule_is_needed(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, plant = MUTANTS[mutant]
    plant(monkeypatch)
    takes_what_the_cache_has(monkeypatch)
    # which of two pods of a rank counts follows from their UIDs: here the later one
    uids = (f"uid-{n:04}" for n in itertools.count())
    async with Control(MemoryApi(new_uid=lambda: next(uids))).up() as control:
        await forged_end(control, kind)
        assert control.status()["phase"] != "Running", "the bug does harm, so the test above would find it"


async def test_a_pod_without_labels_does_not_stop_the_creation_of_a_gang() -> None:
    control = Control(MemoryApi())
    uid = await control.apply()
    for kind, (namespace, body) in strangers(uid).items():
        if kind != "owner, but another name":
            await control.memory.create("pods", namespace, body)
    async with control.up():
        await control.bring_up(*GANG)


def raw_pod(**labels: str) -> bytes:
    body = pod_body("tiny-0-1", labels_of("u", rank=1) | labels, owner_of("u"))
    body["metadata"] |= {"namespace": "default", "uid": "p", "resourceVersion": "1"}
    return orjson.dumps(body)


def test_the_label_that_disagrees_is_named() -> None:
    assert decode_pod(raw_pod()).owner == ("default", "tiny", "u")
    with pytest.raises(ValueError, match=r"job-uid of pod default/tiny-0-1 is 'v', .* 'u'"):
        decode_pod(raw_pod(**{LABEL_JOB_UID: "v"}))
    assert decode_rank(raw_pod(**{LABEL_RANK: "0"})) is None


async def report_of(control: Control, tokens: PodTokens, namespace: str, name: str, body: Body) -> int:
    found = control.memory.peek("pods", namespace, name)
    assert found is not None
    token = tokens.issue(PodIdentity(namespace, name, found["metadata"]["uid"]))
    server = ReportServer(
        tokens, control.store, control.book, control.jobs.exists, control.wake, lambda _: None
    )
    async with TestClient(TestServer(server.application())) as client:
        answer = await client.post(REPORT_PATH, json=body, headers={"Authorization": f"Bearer {token}"})
        return answer.status


@pytest.mark.parametrize("kind", KINDS)
async def test_a_strangers_report_is_refused(kind: str) -> None:
    async with Control(MemoryApi()).up() as control:
        uid = await control.apply()
        await control.bring_up(*GANG)
        namespace, body = strangers(uid)[kind]
        await control.memory.create("pods", namespace, body)
        forged = {"jobUid": uid, "attempt": 0, "stage": "train", "step": 999, "checkpointStep": 999999}
        tokens = PodTokens()
        assert await report_of(control, tokens, namespace, body["metadata"]["name"], forged) == 403
        assert await report_of(control, tokens, "default", "tiny-0-0", forged | {"step": 5}) == 200
        await eventually("the honest report is told", lambda: control.status().get("progress"))
        assert control.status()["progress"]["step"] == 5


async def test_a_token_of_another_pod_of_that_uid_is_refused() -> None:
    async with Control(MemoryApi()).up() as control:
        uid = await control.apply()
        await control.bring_up(*GANG)
        found = control.pods()["tiny-0-0"]["metadata"]["uid"]
        tokens = PodTokens()
        server = ReportServer(
            tokens, control.store, control.book, control.jobs.exists, control.wake, lambda _: None
        )
        body = {"jobUid": uid, "attempt": 0, "stage": "train", "step": 1}
        async with TestClient(TestServer(server.application())) as client:
            for identity in (PodIdentity("other", "tiny-0-0", found), PodIdentity("default", "x", found)):
                bearer = {"Authorization": f"Bearer {tokens.issue(identity)}"}
                assert (await client.post(REPORT_PATH, json=body, headers=bearer)).status == 403


async def take_label_off(control: Control, name: str) -> None:
    labels = dict(control.pods()[name]["metadata"]["labels"])
    del labels[LABEL_MANAGED_BY]
    control.memory.relabel("pods", "default", name, labels)


@pytest.mark.parametrize("relist", [False, True])
async def test_a_pod_that_loses_our_label_is_not_gone(relist: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "HIDDEN_POLL_SECONDS", 0.05)
    async with Control(MemoryApi()).up() as control:
        await control.apply()
        await control.bring_up(*GANG)
        uid = control.pods()["tiny-0-1"]["metadata"]["uid"]
        if relist:
            # the change itself is never told
            control.memory.close_watches()
        await take_label_off(control, "tiny-0-1")
        if relist:
            control.memory.compact("pods")
        await eventually("it is followed", lambda: uid in control.reflector._hidden)
        assert not control.store.saw_go(uid)
        assert set(control.pods()) == set(GANG), "no gang starts beside it"
        assert control.status()["attempt"] == 0
        # its end is seen all the same
        ended = {"exitCode": 1, "message": json.dumps(FORGED_END), "finishedAt": "2026-01-02T03:04:05Z"}
        status = {
            "phase": "Failed",
            "containerStatuses": [{"name": "trainer", "state": {"terminated": ended}}],
        }
        await control.memory.patch_status("pods", "default", "tiny-0-1", {"status": status})
        await eventually("the job ends", lambda: control.status()["phase"] == "Failed")
        found = control.memory.peek("pods", "default", "tiny-0-1")
        assert found is not None
        await control.memory.delete("pods", "default", "tiny-0-1", uid, 0)
        await eventually("it is known to be gone", lambda: control.store.saw_go(uid))
        assert uid not in control.reflector._hidden


async def test_a_deletion_that_is_one_is_believed_at_once() -> None:
    async with Control(MemoryApi()).up() as control:
        await control.apply()
        await control.bring_up(*GANG)
        uid = control.pods()["tiny-0-1"]["metadata"]["uid"]
        await control.memory.delete("pods", "default", "tiny-0-1", uid, 0)
        await eventually("the next attempt", lambda: control.status().get("attempt") == 1)
        assert control.memory.peek(PLURAL, "default", "tiny") is not None


def test_of_two_pods_of_a_name_the_older_is_gone() -> None:
    cache = store.PodStore()
    first = decode_pod(raw_pod())
    body = orjson.loads(raw_pod())
    body["metadata"] |= {"uid": "p2", "resourceVersion": "5"}
    second = decode_pod(orjson.dumps(body))
    assert cache.upsert(first)
    assert cache.upsert(second)
    assert cache.of_job(first.owner) == (second,)
    assert not cache.upsert(first)
