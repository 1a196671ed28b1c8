"""The store, the queue, the patch, the book, the token check, TLS, manifests."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from harness.jobs import SETTINGS, T0, UID, job, later, pod, report, seen

from llmtrain_api import JobFile, JobStatus, Phase, Progress
from llmtrain_api.names import TOKEN_AUDIENCE
from llmtrain_operator.engine.apply import as_refusal
from llmtrain_operator.engine.events import events_between
from llmtrain_operator.engine.known_jobs import job_values
from llmtrain_operator.engine.merge_patch import merge_patch
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.kube.api import ApiError
from llmtrain_operator.kube.pods import decode_pod
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.manifests.config import config_map
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.manifests.service import service
from llmtrain_operator.manifests.volumes import locate
from llmtrain_operator.plan.situation import look
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.progress.tls import new_authority, new_leaf, server_context
from llmtrain_operator.settings import parse
from llmtrain_operator.types import JobRef, Pod, RefusalKind

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


async def test_queue_gives_a_key_once_and_again_if_woken_meanwhile() -> None:
    queue = WorkQueue()
    queue.add(("n", "a"))
    queue.add(("n", "a"))
    key = await queue.take()
    queue.add(key)
    assert len(queue) == 0, "not while it is worked on"
    queue.done(key)
    assert await asyncio.wait_for(queue.take(), 1) == key
    queue.done(key)
    assert len(queue) == 0


async def test_queue_keeps_the_earliest_timer() -> None:
    queue = WorkQueue()
    queue.add_after(("n", "a"), 0.0)
    queue.add_after(("n", "a"), 3600)
    assert await asyncio.wait_for(queue.take(), 5) == ("n", "a")


async def test_queue_backs_off_until_forgotten() -> None:
    queue = WorkQueue()
    delays = [queue.add_failed(("n", "a")) for _ in range(6)]
    assert delays[-1] > delays[0] * 8
    queue.forget(("n", "a"))
    assert queue.add_failed(("n", "a")) < delays[-1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"a": 1}),
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2, "e": [1]}}),
        ({"a": [1, 2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {"a": 2}),
        ({"a": 1}, {"a": 1}),
    ],
)
def test_merge_patch_turns_old_into_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    def apply(target: Any, patch: Any) -> Any:
        if not isinstance(patch, dict):
            return patch
        out = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            if value is None:
                out.pop(key, None)
            else:
                out[key] = apply(out.get(key), value)
        return out

    patch = merge_patch(old, new)
    assert apply(old, patch) == new
    assert (patch == {}) == (old == new)


def test_book_keeps_the_newest_attempt_and_what_was_said_once() -> None:
    book = ReportBook()
    assert book.take(JOB, report(1, resumed_step=10, resumed_note="torn", checkpoint_step=10).report, T0)
    assert not book.take(JOB, report(0).report, T0), "an older attempt"
    assert book.take(JOB, report(1, step=12).report, later(1))
    last = book.last(JOB, 1)
    assert last is not None
    assert (last.report.step, last.report.resumed_step, last.report.checkpoint_step) == (12, 10, 10)
    assert last.report.resumed_note == "torn"
    assert book.last(JOB, 0) is None
    book.forget(JOB)
    assert book.last(JOB, 1) is None


def test_leaf_is_signed_by_the_authority_and_names_the_host() -> None:
    authority = new_authority(T0)
    leaf = x509.load_pem_x509_certificate(new_leaf(authority, ["op.ns.svc"], T0)[0])
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["op.ns.svc"]
    assert leaf.not_valid_after_utc > T0 + timedelta(days=365)
    assert isinstance(server_context(authority, ["op.ns.svc"]), ssl.SSLContext)


def test_pod_passes_pod_security_restricted_and_carries_its_identity() -> None:
    found = look(seen(job()), T0)
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 3, 1, "img:1", SETTINGS)
    assert manifest["metadata"]["name"] == "tiny-3-1"
    assert manifest["metadata"]["ownerReferences"][0]["uid"] == UID
    spec, container = manifest["spec"], manifest["spec"]["containers"][0]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    token = next(v for v in spec["volumes"] if v["name"] == "token")
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == TOKEN_AUDIENCE
    assert not any("nvidia.com/gpu" in r for r in container["resources"].values())


def test_gpus_are_asked_for_with_shared_memory() -> None:
    found = look(seen(job(gpusPerNode=8, nodes=1, training={"globalBatchSize": 64})), T0)
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)
    assert manifest["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert any(v["name"] == "shm" for v in manifest["spec"]["volumes"])


def dataset_volumes(dataset: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], JobFile]:
    """Mounts and claims of the text by volume, and what the workers are told."""
    found = look(seen(job(dataset=dataset)), T0)
    assert found.spec is not None
    of_pod = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)["spec"]
    mounts = {m["name"]: m for m in of_pod["containers"][0]["volumeMounts"] if m["name"].startswith("data")}
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"] for v in of_pod["volumes"] if v["name"] in mounts
    }
    config = config_map(found.job, found.spec, 0, SETTINGS)
    return mounts, claims, JobFile.model_validate(json.loads(config["data"]["job.json"]), extra="forbid")


def test_each_claim_of_a_mixture_is_mounted_once_to_be_read() -> None:
    names = ["pvc://texts/books", "builtin://python-stdlib", "pvc://code", "file:///data", "pvc://texts/web/"]
    mounts, claims, told = dataset_volumes({"mixture": [{"name": name, "weight": 1} for name in names]})
    assert claims == {"dataset-0": "texts", "dataset-1": "code"}
    assert mounts == {
        name: {"name": name, "mountPath": f"/mnt/dataset/{claim}", "readOnly": True}
        for name, claim in claims.items()
    }
    assert told.dataset is None
    assert told.sources == {
        "pvc://texts/books": "/mnt/dataset/texts/books",
        "pvc://code": "/mnt/dataset/code",
        "file:///data": "/data",
        "pvc://texts/web/": "/mnt/dataset/texts/web",
    }


def test_a_dataset_with_a_name_is_mounted_as_before() -> None:
    mounts, claims, told = dataset_volumes({"name": "pvc://texts/books"})
    assert claims == {"dataset": "texts"}
    assert mounts == {"dataset": {"name": "dataset", "mountPath": "/mnt/dataset", "readOnly": True}}
    assert (told.dataset, told.sources) == ("/mnt/dataset/books", {})
    assert dataset_volumes({"name": "builtin://python-stdlib"})[2].dataset is None


def test_config_is_immutable_and_says_where_the_ranks_meet() -> None:
    found = look(seen(job()), T0)
    assert found.spec is not None
    manifest = config_map(found.job, found.spec, 2, SETTINGS)
    assert manifest["immutable"] is True
    told = JobFile.model_validate(json.loads(manifest["data"]["job.json"]), extra="forbid")
    assert told.rendezvous.master_address == "tiny-2-0.tiny-master.default.svc"
    assert told.rendezvous.id == f"{UID}-2"
    assert told.output == "/mnt/output/tiny"
    assert service(found.job)["spec"]["publishNotReadyAddresses"] is True


def test_locations() -> None:
    assert locate("pvc://claim/a/b/", "/m").path == "/m/a/b"
    assert locate("pvc://claim", "/m").path == "/m"
    assert locate("file:///a/b", "/m").claim is None
    with pytest.raises(ValueError, match="s3"):
        locate("s3://b", "/m")


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (403, "pods is forbidden: exceeded quota: q", RefusalKind.QUOTA),
        (403, "violates PodSecurity restricted", RefusalKind.REJECTED),
        (422, "Pod is invalid", RefusalKind.REJECTED),
        (403, "namespace x because it is being terminated", RefusalKind.NAME_CONFLICT),
        (403, "failed quota: limits: must specify limits.cpu for: trainer", RefusalKind.REJECTED),
        (403, "maximum memory usage per Container is 2Gi, but limit is 4Gi", RefusalKind.REJECTED),
        (403, 'User "x" cannot create resource "pods" in API group ""', RefusalKind.FORBIDDEN),
        (403, "status unknown for quota: q", RefusalKind.FORBIDDEN),
        (403, "error looking up service account team/default", RefusalKind.FORBIDDEN),
        (403, "unable to validate against any security context constraint", RefusalKind.FORBIDDEN),
        (400, 'admission webhook "x" denied the request: no', RefusalKind.FORBIDDEN),
        (500, "failed calling webhook", RefusalKind.UNAVAILABLE),
        (0, "connection refused", None),
        (429, "slow down", RefusalKind.UNAVAILABLE),
        (409, "please apply your changes to the latest version and try again", None),
        (413, "Request entity too large", RefusalKind.UNAVAILABLE),
    ],
)
def test_which_refusals_are_told(status: int, message: str, kind: RefusalKind | None) -> None:
    refusal = as_refusal(ApiError(status, "", message))
    assert (refusal.kind if refusal else None) is kind


def test_pod_decoding_reads_the_scheduler_and_the_kubelet() -> None:
    raw = {
        "metadata": {
            "name": "tiny-0-1",
            "namespace": "d",
            "uid": "u",
            "resourceVersion": "12",
            "ownerReferences": [
                {
                    "apiVersion": "llmtrain.dev/v1alpha1",
                    "kind": "LLMTrainingJob",
                    "name": "tiny",
                    "uid": UID,
                    "controller": True,
                }
            ],
            "labels": {
                "llmtrain.dev/job": "tiny",
                "llmtrain.dev/job-uid": UID,
                "llmtrain.dev/attempt": "0",
                "llmtrain.dev/rank": "1",
            },
        },
        "spec": {"nodeName": "n"},
        "status": {
            "phase": "Failed",
            "conditions": [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByTaintManager",
                    "message": "m",
                }
            ],
            "containerStatuses": [
                {
                    "name": "trainer",
                    "state": {
                        "terminated": {"exitCode": 3, "message": "x", "finishedAt": "2026-01-02T03:04:05Z"}
                    },
                }
            ],
        },
    }
    decoded = decode_pod(json.dumps(raw).encode())
    assert (decoded.rank, decoded.resource_version) == (1, 12)
    assert decoded.disruption == "DeletionByTaintManager: m"
    assert decoded.termination is not None
    assert decoded.termination.finished_at == T0


def test_events_are_told_once_a_change() -> None:
    old, new = JobStatus(), JobStatus(phase=Phase.RUNNING, attempt=0)
    assert [e.reason for e in events_between(old, new)] == ["Accepted", "Running"]
    assert events_between(new, new) == []


def test_metrics_leave_out_what_is_not_known() -> None:
    values = job_values(job())
    assert values["loss"] is None
    assert values["progress_ratio"] is None
    assert values["mfu_ratio"] is None


def test_metrics_tell_the_share_of_the_peak() -> None:
    asked = job()
    told = asked.model_copy(update={"status": JobStatus(progress=Progress(mfu=0.41))})
    assert job_values(told)["mfu_ratio"] == 0.41


def test_flags_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--trainer-image", "x"]).workers == 8
    with pytest.raises(SystemExit) as caught:
        parse(["--workers", "many"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "--workers" in said
    assert "--trainer-image" in said


def test_an_output_in_an_object_store_needs_no_volume() -> None:
    found = look(seen(job(output={"uri": "s3://models/team/run", "secret": "store"})), T0)
    assert found.spec is not None
    manifest = build_pod(found.job, found.spec, 0, 0, "img:1", SETTINGS)
    [container] = manifest["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert {volume["name"] for volume in manifest["spec"]["volumes"]} == {"config", "token", "scratch"}
    told = config_map(found.job, found.spec, 0, SETTINGS)["data"]["job.json"]
    assert json.loads(told)["output"] == "/scratch/output"
