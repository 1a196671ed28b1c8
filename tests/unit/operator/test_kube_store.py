"""What the pod store remembers when lists, watches and answers arrive out of order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.jobs import UID, pod

from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.types import JobRef, Pod

JOB = JobRef("default", "tiny", UID)


def at(version: int, **changes: Any) -> Pod:
    return replace(pod(0, 0), resource_version=version, **changes)


def test_store_never_goes_back_in_time() -> None:
    store = PodStore()
    assert store.upsert(at(5))
    assert not store.upsert(at(4, node="old"))
    assert store.of_job(JOB) == (at(5),)


def test_store_never_revives_the_deleted() -> None:
    store = PodStore()
    store.upsert(at(5))
    store.remove("uid-0-0")
    assert not store.upsert(at(6)), "the answer to our create came after the deletion"
    assert store.of_job(JOB) == ()


def test_a_list_does_not_drop_what_is_newer_than_itself() -> None:
    store = PodStore()
    store.upsert(at(9))
    assert store.replace([], version=8) == []
    assert len(store) == 1
    assert [p.uid for p in store.replace([], version=10)] == ["uid-0-0"]
    assert len(store) == 0


def test_a_list_tells_what_changed() -> None:
    store = PodStore()
    store.upsert(at(5))
    changed = store.replace([at(5), replace(pod(0, 1), resource_version=6)], version=7)
    assert [p.rank for p in changed] == [1]
