"""What runs before the gang: one pod without GPUs at a time, on record before it is created."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from harness.control import Control, eventually, owner_of, pod_body
from harness.jobs import SETTINGS, T0, UID, job, later, pod, seen

from llmtrain_api import Job, JobFile, JobStatus, Phase, Setup, SetupStage
from llmtrain_api.names import LABEL_JOB_UID, LABEL_RANK, LABEL_STAGE, REPORT_PATH
from llmtrain_operator.kube.api import Object
from llmtrain_operator.local.kubelet.tokens import PodTokens
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.plan import plan
from llmtrain_operator.progress.auth import PodIdentity
from llmtrain_operator.progress.server import ReportServer
from llmtrain_operator.types import CreateChild, CreatePod, DeleteChild, Observed, Pod, PodPhase

GPUS: dict[str, Any] = {"gpusPerNode": 8, "training": {"globalBatchSize": 64}}
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
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}
    assert not any(volume["name"] == "shm" for volume in spec["volumes"])
    assert "hostname" not in spec
    config = next(v for v in spec["volumes"] if v["name"] == "config")["configMap"]["name"]
    assert config == children[1]["metadata"]["name"]
    told = JobFile.model_validate(json.loads(children[1]["data"]["job.json"]), extra="forbid")
    assert told.attempt == 0, "its fence is that of the attempt that comes"


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
            tokens, control.store, control.book, control.known.exists, control.wake, lambda _: None
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
