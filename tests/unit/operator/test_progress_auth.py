"""Whose token it is, and what strangers' tokens may cost."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from harness.control import jwt

from llmtrain_api.names import TOKEN_AUDIENCE
from llmtrain_operator.kube.address import ClusterAddress
from llmtrain_operator.kube.answers import MAX_RETRY_AFTER_SECONDS, retry_seconds
from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.kube.http import MAX_IN_FLIGHT, MAX_REVIEWS, HttpApi
from llmtrain_operator.kube.window import FIRST
from llmtrain_operator.progress import auth
from llmtrain_operator.progress.auth import (
    POD_NAME,
    POD_UID,
    Busy,
    PodIdentity,
    TokenAuthenticator,
    claimed_pod,
)

WORKER = PodIdentity("default", "tiny-0-0", "pod-7")
EXTRA = {POD_UID: ["pod-7"], POD_NAME: ["tiny-0-0"]}
USER = {"username": "system:serviceaccount:default:trainer", "extra": EXTRA}
GOOD = {"authenticated": True, "audiences": [TOKEN_AUDIENCE], "user": USER}


class Reviews:
    def __init__(self, status: dict[str, Any]) -> None:
        self.status, self.asked = status, 0
        self.answer = asyncio.Event()
        self.answer.set()

    async def create_review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        assert body["spec"]["audiences"] == [TOKEN_AUDIENCE]
        await self.answer.wait()
        return {"status": self.status}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asking(reviews: Reviews, clock: Clock | None = None) -> TokenAuthenticator:
    return TokenAuthenticator(reviews, lambda uid: uid == WORKER.uid, clock or Clock())


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (GOOD, WORKER),
        (GOOD | {"audiences": ["https://kubernetes.default.svc"]}, None),
        (GOOD | {"authenticated": False}, None),
        (GOOD | {"user": {}}, None),
        (GOOD | {"user": USER | {"username": "somebody"}}, None),
        (GOOD | {"user": USER | {"extra": {POD_UID: ["pod-7"]}}}, None),
    ],
)
async def test_a_token_is_good_for_its_pod_and_our_audience_only(
    status: dict[str, Any], found: PodIdentity | None
) -> None:
    reviews = Reviews(status)
    authenticator = asking(reviews)
    token = jwt(WORKER)
    assert await authenticator.identify(token, "a") == found
    assert await authenticator.identify(token, "a") == found
    assert reviews.asked == 1
    assert token not in repr(vars(authenticator))


@pytest.mark.parametrize(
    "token",
    [
        "secret",
        "a.b.c",
        "a.!!.c",
        "\udcff.\udcff.\udcff",
        "a." + base64.urlsafe_b64encode(b'{"aud":' + b"[" * 3000).decode() + ".c",
        "a." + base64.urlsafe_b64encode(b'{"x":' + b"[" * 3000).decode() + ".c",
        jwt(WORKER, "https://kubernetes.default.svc"),
        jwt(PodIdentity("default", "evil", "another")),
        jwt(PodIdentity("default", "evil", "")),
    ],
)
async def test_what_names_no_worker_pod_costs_no_review(token: str) -> None:
    reviews = Reviews(GOOD)
    assert await asking(reviews).identify(token, "a") is None
    assert reviews.asked == 0


def test_the_claim_is_read_from_a_list_of_audiences_or_one() -> None:
    assert claimed_pod(jwt(WORKER)) == "pod-7"


async def test_one_address_may_cause_few_reviews_and_others_their_own() -> None:
    reviews, clock = Reviews(GOOD | {"authenticated": False}), Clock()
    authenticator = asking(reviews, clock)
    refused = 0
    for n in range(600):
        try:
            await authenticator.identify(jwt(WORKER) + str(n), "attacker")
        except Busy:
            refused += 1
    assert reviews.asked == auth.REVIEWS_AT_ONCE
    assert refused == 600 - auth.REVIEWS_AT_ONCE
    reviews.status = GOOD
    assert await authenticator.identify(jwt(WORKER), "worker") == WORKER
    clock.now += 1.0
    assert await authenticator.identify(jwt(WORKER) + "later", "attacker") == WORKER


async def test_refused_tokens_do_not_push_out_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REVIEWS_AT_ONCE", 10_000)
    reviews = Reviews(GOOD)
    authenticator = asking(reviews)
    assert await authenticator.identify(jwt(WORKER), "worker") == WORKER
    reviews.status = {}
    for n in range(2 * auth.MISSES_SIZE):
        assert await authenticator.identify(jwt(WORKER) + str(n), "attacker") is None
    assert len(authenticator._misses._items) == auth.MISSES_SIZE
    before = reviews.asked
    assert await authenticator.identify(jwt(WORKER), "worker") == WORKER
    assert reviews.asked == before, "still remembered"


async def test_a_crowd_from_many_addresses_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "MAX_WAITING", 5)
    reviews = Reviews(GOOD)
    reviews.answer.clear()
    authenticator = asking(reviews)
    waiting = [
        asyncio.create_task(authenticator.identify(jwt(WORKER) + str(n), f"peer-{n}")) for n in range(5)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await authenticator.identify(jwt(WORKER), "one more")
    reviews.answer.set()
    assert await asyncio.gather(*waiting) == [WORKER] * 5


async def test_reviews_leave_the_slots_of_reconciling_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    api = HttpApi(ClusterAddress("http://nowhere", None))
    answer, under_way = asyncio.Event(), []

    async def once(method: str, path: str, *_: object) -> bytes:
        if method == "POST":
            under_way.append(path)
            await answer.wait()
        return b"{}"

    monkeypatch.setattr(api, "_once", once)
    reviews = [asyncio.create_task(api.create_review("/reviews", {})) for _ in range(600)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(under_way) == MAX_REVIEWS
    async with asyncio.timeout(1):
        await api.get("pods", "default", "x")
    answer.set()
    await asyncio.gather(*reviews)


@pytest.mark.parametrize("slots", [FIRST, MAX_IN_FLIGHT])
async def test_one_namespaces_gang_leaves_slots_for_the_others(
    slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first, and once the API server has shown that it can take more."""
    api = HttpApi(ClusterAddress("http://nowhere", None))
    while api._slots.size < slots:
        api._slots.answered()
    answer, under_way = asyncio.Event(), []

    async def once(_: str, path: str, *__: object) -> bytes:
        under_way.append(path)
        if "/namespaces/big/" in path:
            await answer.wait()
        return b"{}"

    monkeypatch.setattr(api, "_once", once)
    body = {"metadata": {"name": "x"}}
    gang = [asyncio.create_task(api.create("pods", "big", body)) for _ in range(4096)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(under_way) == slots // 2
    async with asyncio.timeout(1):
        await api.create("pods", "small", body)
    answer.set()
    await asyncio.gather(*gang)
    assert len(api._shares) == 0, "nothing stays of namespaces"


def test_a_proxy_that_asks_for_an_hour_gets_a_minute() -> None:
    assert retry_seconds(ApiError(429, "", "", 3600.0), 0.2) <= MAX_RETRY_AFTER_SECONDS * 1.2
    assert retry_seconds(ApiError(429, "", "", 2.0), 0.2) >= 1.6
    assert retry_seconds(ApiError(500, "", ""), 0.2) <= 0.24
