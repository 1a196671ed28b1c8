"""What is known of jobs stays true whatever order lists, events and answers come in."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from llmtrain_api.names import ANNOTATION_RERUN
from llmtrain_operator.kube.jobs import JobStore, SeenJob, decode_job, seen_job
from llmtrain_operator.types import JobRef

KEY = ("team", "tiny")


def job(version: int, uid: str = "u1", name: str = "tiny", **meta: Any) -> SeenJob:
    where = {"namespace": "team", "name": name, "uid": uid, "resourceVersion": str(version)}
    return seen_job({"metadata": where | meta, "spec": {"nodes": version}})


def version(store: JobStore) -> int | None:
    found = store.find(KEY)
    return None if found is None else found.resource_version


def test_an_older_version_never_replaces_a_newer_one() -> None:
    store = JobStore()
    assert store.upsert(job(5))
    assert not store.upsert(job(4))
    assert not store.upsert(job(5)), "the echo of a write of ours is no news"
    assert version(store) == 5
    assert store.upsert(job(6))
    assert version(store) == 6


def test_of_one_name_the_newest_object_counts() -> None:
    store = JobStore()
    store.upsert(job(5))
    assert store.upsert(job(7, "u2"))
    assert store.exists(JobRef(*KEY, "u2"))
    assert not store.exists(JobRef(*KEY, "u1"))
    assert not store.upsert(job(6)), "the first one is gone"
    assert store.get("u1") is None
    assert len(store) == 1


def test_what_was_deleted_does_not_come_back() -> None:
    store = JobStore()
    store.upsert(job(5))
    store.remove("u1")
    assert not store.upsert(job(9)), "the answer to a write comes after the deletion"
    assert store.find(KEY) is None


def test_a_list_drops_only_what_is_not_newer() -> None:
    store = JobStore()
    store.upsert(job(5))
    store.upsert(job(9, "u2", "late"))
    changed = store.replace([job(6, "u3", "new")], version=7)
    assert {one.name for one in changed} == {"tiny", "new"}
    assert set(store) == {("team", "late"), ("team", "new")}


def test_a_read_ends_the_doubt() -> None:
    store = JobStore()
    store.upsert(job(5))
    store.doubt(KEY)
    assert store.doubted(KEY)
    store.read(KEY, job(8))
    assert not store.doubted(KEY)
    assert version(store) == 8
    store.read(KEY, job(3, "u2"))
    assert store.exists(JobRef(*KEY, "u2")), "the API server serves that one under the name"
    store.read(KEY, None)
    assert store.find(KEY) is None


def test_what_others_keep_on_the_object_is_not_kept() -> None:
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 9999, ANNOTATION_RERUN: "1"}
    found = decode_job(raw_job(managedFields=[{"manager": "x"}], annotations=notes))
    kept = orjson.loads(found.raw)
    assert kept["metadata"]["annotations"] == {ANNOTATION_RERUN: "1"}
    assert "managedFields" not in kept["metadata"]
    assert kept["spec"] == {"nodes": 2}


def raw_job(**meta: Any) -> bytes:
    where = {"namespace": "team", "name": "tiny", "uid": "u1", "resourceVersion": "5"}
    return orjson.dumps({"metadata": where | meta, "spec": {"nodes": 2}})


@pytest.mark.parametrize("odd", [{}, {"metadata": {}}, {"metadata": None}, [], None])
def test_what_is_no_object_is_an_error(odd: Any) -> None:
    with pytest.raises(ValueError, match="no job"):
        seen_job(odd)
