"""What runs before the gang: one pod without GPUs at a time, on record before it is created."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from harness.control import Control, eventually, owner_of, pod_body
from harness.jobs import FACTS, SETTINGS, T0, UID, job, later, pod, seen

from llmtrain_api import (
    InspectFile,
    Job,
    JobFile,
    JobStatus,
    ModelFacts,
    Phase,
    Setup,
    SetupStage,
    catalogue,
    changed,
    choose,
    parse_spec,
    shape_of_config,
)
from llmtrain_api.names import LABEL_JOB_UID, LABEL_RANK, LABEL_STAGE, REPORT_PATH
from llmtrain_operator.kube.api import Object
from llmtrain_operator.local.kubelet.tokens import PodTokens
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.conditions import with_condition
from llmtrain_operator.progress.auth import PodIdentity
from llmtrain_operator.progress.server import ReportServer
from llmtrain_operator.types import CreateChild, CreatePod, DeleteChild, Observed, Pod, PodPhase, Termination

GPUS: dict[str, Any] = {
    "gpusPerNode": 8,
    "resources": {"memory": "21Gi"},
    "training": {"globalBatchSize": 64},
}
FIRST: dict[str, Any] = {"prepare": {"nodes": 1}}


def begun(**spec: Any) -> Job:
    """A job with its first decision on record."""
    return job(plan(seen(job(**spec)), T0).status, **spec)


def made(of: Job, **settings: Any) -> tuple[list[Object], Object]:
    """Children, and the pod, that the next decision creates."""
    actions = plan(replace(seen(of), settings=replace(SETTINGS, **settings)), T0).actions
    [found] = [a.manifest for a in actions if isinstance(a, CreatePod)]
    return [a.manifest for a in actions if isinstance(a, CreateChild)], found


def preparing(phase: PodPhase, number: int = 0, **changes: Any) -> Pod:
    name = f"tiny-prepare-{number}"
    return pod(number, 0, phase, stage=SetupStage.PREPARE, name=name, uid=f"uid-{name}", **changes)


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        ({}, False),
        (FIRST, True),
        (GPUS, True),
        (GPUS | {"prepare": {"nodes": 0}}, False),
    ],
)
def test_gpus_do_not_wait_for_data_and_cpus_may(spec: dict[str, Any], first: bool) -> None:
    decision = plan(seen(job(**spec)), T0)
    assert decision.actions == ()
    assert decision.status.phase is (Phase.PREPARING if first else Phase.STARTING)
    assert decision.status.attempt == (None if first else 0)
    assert decision.status.condition("Accepted").status == "True"  # type: ignore[union-attr]
    assert decision.status.resolved is not None


def test_the_pod_asks_for_no_gpu_and_is_no_rank() -> None:
    children, found = made(begun(**GPUS), network_policy=True)
    assert [child["kind"] for child in children] == ["NetworkPolicy", "ConfigMap"]
    spec, container = found["spec"], found["spec"]["containers"][0]
    assert found["metadata"]["name"] == "tiny-prepare-0"
    labels = found["metadata"]["labels"]
    assert (labels[LABEL_STAGE], labels[LABEL_JOB_UID]) == ("prepare", UID)
    assert LABEL_RANK not in labels, "the Service would take it for rank 0"
    assert children[0]["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert container["args"] == ["launch", "--only-prepare"]
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "21Gi"},
        "limits": {"memory": "21Gi"},
    }
    assert not any(volume["name"] == "shm" for volume in spec["volumes"])
    assert "hostname" not in spec
    config = next(v for v in spec["volumes"] if v["name"] == "config")["configMap"]["name"]
    assert config == children[1]["metadata"]["name"]
    told = JobFile.model_validate(json.loads(children[1]["data"]["job.json"]), extra="forbid")
    assert told.attempt == 0, "its fence is that of the attempt that comes"


@pytest.mark.parametrize(
    ("name", "base", "claim"),
    [
        ("pvc://models/llama/8b/", "/mnt/model/models/llama/8b", "models"),
        ("file:///opt/llama", "/opt/llama", None),
        ("somebody/llama", None, None),
        ("s3://bucket/llama", None, None),
    ],
)
def test_what_inspects_sees_the_model_alone(name: str, base: str | None, claim: str | None) -> None:
    secret = {"secret": "token"} if base is None else {}
    output = {"uri": "s3://results/run", "secret": "store"}
    of = begun(model={"name": name, **secret}, output=output, dataset={"name": "pvc://texts"}, **GPUS)
    assert of.status.phase is Phase.INSPECTING
    [config], found = made(of)
    spec, container = found["spec"], found["spec"]["containers"][0]
    assert found["metadata"]["name"] == "tiny-inspect-0"
    assert container["args"] == ["inspect"]
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "2Gi"}
    told = InspectFile.model_validate(json.loads(config["data"]["job.json"]), extra="forbid")
    assert (told.base, told.spec.model.name) == (base, name)
    claims = [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if v["name"] == "model"]
    mounts = [m for m in container["volumeMounts"] if m["name"] == "model"]
    assert claims == ([claim] if claim else [])
    assert mounts == (
        [{"name": "model", "mountPath": f"/mnt/model/{claim}", "readOnly": True}] if claim else []
    )
    others = {volume["name"] for volume in spec["volumes"]} - {"model"}
    assert others == {"config", "token", "scratch"}
    expected = [{"prefix": "MODEL_", "secretRef": {"name": "token"}}] if secret else None
    assert container.get("envFrom") == expected


def inspected(of: Job, **facts: Any) -> JobStatus:
    message = json.dumps({"outcome": "Complete", "facts": FACTS | facts})
    end = Termination(0, "Completed", message, T0)
    found = pod(0, 0, PodPhase.SUCCEEDED, stage=SetupStage.INSPECT, name="tiny-inspect-0", termination=end)
    return plan(seen(of, (found,)), later(5)).status


def test_ranks_and_what_prepares_are_told_what_was_found() -> None:
    asked: dict[str, Any] = {"model": {"name": "somebody/llama", "secret": "token"}} | FIRST
    status = inspected(begun(**asked))
    assert status.resolved is not None
    assert status.resolved.model == ModelFacts.model_validate(FACTS)
    status = plan(seen(job(status, **asked)), later(6)).status
    assert status.phase is Phase.PREPARING
    [config], found = made(job(status, **asked))
    told = JobFile.model_validate(json.loads(config["data"]["job.json"]), extra="forbid")
    assert told.model == ModelFacts.model_validate(FACTS)
    assert told.shape.layers == 2
    container = found["spec"]["containers"][0]
    assert {"prefix": "MODEL_", "secretRef": {"name": "token"}} in container["envFrom"]
    assert any(mount["name"] == "output" for mount in container["volumeMounts"])


def test_the_claim_of_the_model_is_mounted_where_it_trains() -> None:
    asked: dict[str, Any] = {"model": {"name": "pvc://models/llama"}}
    status = plan(seen(job(inspected(begun(**asked)), **asked)), later(6)).status
    assert status.phase is Phase.STARTING
    actions = plan(seen(job(status, **asked)), later(7)).actions
    ranks = [a.manifest for a in actions if isinstance(a, CreatePod)]
    assert len(ranks) == 2
    for rank in ranks:
        mounts = rank["spec"]["containers"][0]["volumeMounts"]
        assert {"name": "model", "mountPath": "/mnt/model/models", "readOnly": True} in mounts


def test_a_model_of_the_hub_needs_a_commit_and_a_folder_has_none() -> None:
    hub: dict[str, Any] = {"model": {"name": "somebody/llama"}}
    folder: dict[str, Any] = {"model": {"name": "pvc://models/llama"}}
    assert inspected(begun(**hub), revision=None).resolved is None
    assert inspected(begun(**folder), revision=None).resolved is not None


def test_what_another_version_refused_without_a_look_is_looked_at() -> None:
    asked: dict[str, Any] = {"model": {"name": "somebody/llama"}}
    refused = inspected(begun(**asked), revision=None)
    assert plan(seen(job(refused, **asked)), later(9)).status == refused
    older = with_condition(refused, "Accepted", False, "InvalidSpec", "not for this version", T0)
    again = plan(seen(job(older, **asked)), later(9)).status
    assert again.setup is not None
    assert (again.phase, again.setup.number) == (Phase.INSPECTING, 1)


KNOWN = "mistralai/Mistral-7B-v0.3"
ON_GPUS: dict[str, Any] = {"model": {"name": KNOWN}, "nodes": 2, "gpusPerNode": 8}
ON_GPUS |= {"resources": {"memory": "900Gi"}, "training": {"globalBatchSize": 64}}


def test_a_mistake_of_a_model_that_is_known_is_told_before_any_pod() -> None:
    asked = ON_GPUS | {"parallelism": {"tensor": 16}}
    decision = plan(seen(job(**asked)), T0)
    accepted = decision.status.condition("Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "ModelRefused")
    assert "tensor 16 does not divide num_key_value_heads of its config.json 8" in accepted.message
    assert "set model.revision" in accepted.message
    assert (decision.actions, decision.status.setup) == ((), None)
    assert plan(seen(job(decision.status, **asked)), later(60)).status == decision.status
    for edit in ({"parallelism": {"tensor": 1}}, {"model": {"name": KNOWN, "revision": "v2"}}):
        assert plan(seen(job(decision.status, **asked | edit)), later(60)).status.phase is Phase.INSPECTING


@pytest.mark.parametrize("accepts", [True, False])
def test_what_is_known_is_an_early_answer_and_the_inspection_decides(
    monkeypatch: pytest.MonkeyPatch, accepts: bool
) -> None:
    """The catalogue is wrong: it says that the model is tiny."""
    right = catalogue.table()[KNOWN]
    monkeypatch.setattr(
        catalogue, "table", lambda: {KNOWN: right | {"num_hidden_layers": 1, "vocab_size": 8}}
    )
    of = begun(**ON_GPUS)
    assert of.status.phase is Phase.INSPECTING
    assert of.status.resolved is None, "nothing is decided by it"
    found = shape_of_config(right)
    positions = found.positions if accepts else 64
    status = inspected(of, shape=changed(found, positions=positions).to_json())
    if accepts:
        assert status.resolved is not None
        assert status.resolved.model is not None
        assert status.resolved.model.shape == found
        spec = parse_spec(of.spec, strict=False)
        assert status.resolved.parallelism == choose(found, spec).layout
    else:
        accepted = status.condition("Accepted")
        assert accepted is not None
        assert (accepted.status, status.resolved) == ("False", None)
        assert "64 positions" in accepted.message


def test_it_asks_for_what_it_is_given() -> None:
    own = {"prepare": {"nodes": 1, "resources": {"cpu": "16", "memory": "64Gi"}}}
    [container] = made(begun(**own, resources={"cpu": 2, "cpuLimit": 4, "memory": "8Gi"}))[1]["spec"][
        "containers"
    ]
    assert container["resources"]["requests"] == {"cpu": "16", "memory": "64Gi"}
    assert container["resources"]["limits"]["cpu"] == "16", "a limit below the request is refused"


def test_the_gang_takes_what_was_decided_before_it() -> None:
    """Another version of the operator, with another image, does not change what made the data."""
    of = begun(**FIRST)
    done = plan(seen(of, (preparing(PodPhase.SUCCEEDED),)), later(5)).status
    assert done.setup is not None
    assert done.setup.ended_at == later(5)
    upgraded = replace(SETTINGS, trainer_image="trainer:2")
    begins = plan(replace(seen(job(done, **FIRST)), settings=upgraded), later(6)).status
    assert (begins.phase, begins.attempt) == (Phase.STARTING, 0)
    assert begins.resolved == of.status.resolved
    actions = plan(seen(job(begins, **FIRST)), later(7)).actions
    assert DeleteChild("configmaps", "tiny-prepare-0") in actions


def test_a_restart_of_the_gang_does_not_prepare_again() -> None:
    of = begun(**FIRST)
    status = plan(seen(of, (preparing(PodPhase.SUCCEEDED),)), later(5)).status
    status = plan(seen(job(status, **FIRST)), later(6)).status
    lost = Observed(job(status, **FIRST), (), None, None, SETTINGS, lost=frozenset({0}))
    again = plan(lost, later(60)).status
    assert (again.phase, again.attempt) == (Phase.RESTARTING, 1)
    names = [
        a.manifest["metadata"]["name"]
        for a in plan(seen(job(again, **FIRST)), later(61)).actions
        if isinstance(a, CreatePod)
    ]
    assert names == ["tiny-1-0", "tiny-1-1"]


def test_why_it_waits_is_told() -> None:
    of = begun(**FIRST)
    held = preparing(PodPhase.PENDING, hold=("ImagePullBackOff", "no such image"))
    waiting = plan(seen(of, (held,)), later(5)).status.waiting
    assert waiting is not None
    assert (waiting.reason, "tiny-prepare-0" in waiting.message) == ("ImagePullBackOff", True)


def test_a_failure_is_waited_out_longer_each_time() -> None:
    of, waits = begun(recovery={"maxRestarts": 9}, **FIRST), []
    status = of.status
    for number in range(5):
        assert status.setup is not None
        asked = job(status, recovery={"maxRestarts": 9}, **FIRST)
        waits.append(plan(seen(asked), T0).requeue_after)
        status = plan(seen(asked, (preparing(PodPhase.FAILED, number),)), T0).status
    assert waits == [None, None, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    "change",
    [{"job_uid": "another-uid"}, {"name": "tiny-prepare-1"}, {"namespace": "attacker"}],
    ids=str,
)
def test_a_strangers_end_is_not_the_preparations(change: dict[str, Any]) -> None:
    of = begun(**FIRST)
    forged = replace(preparing(PodPhase.SUCCEEDED), **change)
    decision = plan(seen(of, (forged,)), later(5))
    assert decision.status.setup == of.status.setup
    assert any(isinstance(action, CreatePod) for action in decision.actions)


def test_what_a_later_version_writes_is_no_stage_of_this_one() -> None:
    """A stage that the spec does not ask for, in this version's eyes, is over: the gang begins."""
    setup = Setup(stage=SetupStage.INSPECT, number=0, generation=1, started_at=T0, ended_at=T0)
    status = plan(seen(job(JobStatus(phase=Phase.PENDING, setup=setup))), T0).status
    assert status.attempt == 0


async def test_it_may_report_as_attempt_0_until_the_gang_does() -> None:
    async with Control(MemoryApi()).up() as control:
        uid = await control.apply(**FIRST)
        await eventually("it is created", lambda: "tiny-prepare-0" in control.pods())
        await control.start("tiny-prepare-0")
        stranger = pod_body("tiny-prepare-7", {"llmtrain.dev/job-uid": uid}, owner_of("another-uid"))
        await control.memory.create("pods", "default", stranger)
        tokens = PodTokens()
        server = ReportServer(
            tokens, control.store, control.book, control.jobs.exists, control.wake, lambda _: None
        )
        body = {"jobUid": uid, "attempt": 0, "stage": "prepare"}

        async def answer(name: str, told: Object) -> int:
            holder = PodIdentity("default", name, control.pods()[name]["metadata"]["uid"])
            bearer = {"Authorization": f"Bearer {tokens.issue(holder)}"}
            return (await client.post(REPORT_PATH, json=told, headers=bearer)).status

        async with TestClient(TestServer(server.application())) as client:
            assert await answer("tiny-prepare-0", body | {"attempt": 1}) == 403
            assert await answer("tiny-prepare-7", body) == 403
            assert await answer("tiny-prepare-0", body) == 200
            await eventually("it is told", lambda: control.status().get("progress"))
            assert control.status()["progress"]["stage"] == "prepare"
