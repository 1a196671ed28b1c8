"""What Events say of a pod that does not start."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from harness.jobs import T0, job, later, pod, running, seen

from llmtrain_api import Waiting, changed
from llmtrain_operator.engine.pod_words import MAX_MESSAGE, PodWords, word_of
from llmtrain_operator.kube.api import ApiError, Listing
from llmtrain_operator.plan import plan
from llmtrain_operator.types import Observed, PodPhase, PodWord

CREATING = ("ContainerCreating", "the kubelet is at it")
STANDS = pod(0, 1, PodPhase.PENDING, hold=CREATING)


def event(reason: str, message: str, **fields: Any) -> bytes:
    return json.dumps({"reason": reason, "message": message} | fields).encode()


def test_the_newest_of_those_that_tell_why_counts() -> None:
    events = [
        event("FailedMount", "an old one", lastTimestamp="2026-01-02T03:04:05Z"),
        event("FailedAttachVolume", "Multi-Attach error", eventTime="2026-01-02T03:04:07.000000Z"),
        event("Pulled", "the image is there", lastTimestamp="2026-01-02T03:04:09Z"),
        b"no event at all",
    ]
    assert word_of(STANDS, events) == PodWord(STANDS.uid, "FailedAttachVolume", "Multi-Attach error")
    again = event(
        "FailedMount",
        "again",
        firstTimestamp=None,
        series={"lastObservedTime": "2026-01-02T03:05:00.000000Z"},
    )
    assert word_of(STANDS, [*events, again]) == PodWord(STANDS.uid, "FailedMount", "again")
    assert word_of(STANDS, [event("Pulled", "x")]) is None
    long = word_of(STANDS, [event("FailedMount", "x" * 100_000)])
    assert long is not None
    assert len(long.message) == MAX_MESSAGE


class Reader:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked, self.answer = 0, [event("FailedMount", 'secret "keys" not found')]
        self.fails = False

    async def events_of(self, namespace: str, uid: str) -> Listing:
        self.asked += 1
        if self.fails:
            raise ApiError(403, "Forbidden", "events is forbidden")
        assert (namespace, uid) == ("default", STANDS.uid)
        return Listing(self.answer, "1")


def waits(since: float = 0.0, reason: str = "ContainerCreating") -> Observed:
    status = changed(running(), waiting=Waiting(reason=reason, message="", since=later(since)))
    return seen(job(status), (pod(0, 0), STANDS))


async def test_nobody_is_asked_before_a_pod_stands_for_a_while_and_then_seldom() -> None:
    reader = Reader()
    words = PodWords(reader)
    assert await words.of_job(waits(), later(14)) is None
    assert reader.asked == 0
    found = await words.of_job(waits(), later(15))
    assert found == PodWord(STANDS.uid, "FailedMount", 'secret "keys" not found')
    assert await words.of_job(waits(20, "FailedMount"), later(21)) == found, "it is not forgotten"
    assert reader.asked == 1
    reader.answer = []
    assert await words.of_job(waits(20, "FailedMount"), later(46)) is None
    assert reader.asked == 2
    assert await words.of_job(seen(job(running()), (pod(0, 0),)), later(99)) is None
    assert await words.of_job(waits(0, "Unschedulable"), later(99)) is None
    assert reader.asked == 2


async def test_events_that_may_not_be_read_cost_a_call_now_and_then() -> None:
    reader = Reader()
    reader.fails = True
    words = PodWords(reader)
    for second in (15, 16, 40):
        assert await words.of_job(waits(), later(second)) is None
    assert reader.asked == 1


@pytest.mark.parametrize(
    ("reason", "message", "hint"),
    [
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "k" : secret "keys" not found',
            "create that Secret",
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "k" : configmap "c" not found',
            "deletes ConfigMaps",
        ),
        (
            "FailedMount",
            "MountVolume.SetUp failed for volume: mount.nfs: Connection timed out",
            "storage's driver",
        ),
        ("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1"', "must be ReadWriteMany"),
        ("FailedCreatePodSandBox", "plugin type=calico failed", "network plugin"),
    ],
)
def test_the_job_says_why_with_what_helps(reason: str, message: str, hint: str) -> None:
    observed = waits()
    word = PodWord(STANDS.uid, reason, message)
    decided = plan(replace(observed, word=word), later(20))
    told = decided.status.waiting
    assert told is not None
    assert (told.reason, told.since) == (reason, later(20))
    assert told.message.startswith(f"pod tiny-0-1: {message}")
    assert hint in told.message
    assert decided.requeue_after is not None
    assert decided.requeue_after <= 15


def test_a_word_of_another_pod_is_not_this_ones() -> None:
    observed = waits()
    word = PodWord("another", "FailedMount", "x")
    decided = plan(replace(observed, word=word), T0)
    assert decided.status.waiting is not None
    assert decided.status.waiting.reason == "ContainerCreating"
