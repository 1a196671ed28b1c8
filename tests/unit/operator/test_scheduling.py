"""Where, as whom and how urgently worker pods run: what the job and the installation say of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from harness.control import Control, eventually
from harness.jobs import POD_FIELDS, SETTINGS, T0, job, seen

from llmtrain_api import WorkerDefaults
from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_MANAGED_BY, LABEL_RANK
from llmtrain_operator.local.memory_api import MemoryApi
from llmtrain_operator.manifests.pod import pod as build_pod
from llmtrain_operator.plan import plan
from llmtrain_operator.plan.refusals import classify
from llmtrain_operator.plan.situation import look
from llmtrain_operator.settings import parse
from llmtrain_operator.types import CreatePod, PlanSettings, RefusalKind

LOST_NODE = [
    {
        "key": f"node.kubernetes.io/{taint}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 30,
    }
    for taint in ("not-ready", "unreachable")
]
GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
OURS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
    "sidecar.istio.io/inject": "false",
}


def worker(settings: PlanSettings = SETTINGS, **spec: Any) -> dict[str, Any]:
    found = look(seen(job(**spec)), T0)
    assert found.spec is not None, found.mistakes
    return build_pod(found.job, found.spec, 0, 0, "img:1", settings)


def installed(**defaults: Any) -> PlanSettings:
    """An installation with these values under ``trainer``."""
    flag = f"--worker-defaults={json.dumps(defaults)}"
    return replace(SETTINGS, worker_defaults=parse(["--trainer-image=t", flag]).worker_defaults)


def test_a_job_that_says_nothing_leaves_all_to_the_cluster() -> None:
    pod = worker()
    assert pod["metadata"]["annotations"] == OURS
    assert set(pod["metadata"]["labels"]) == {
        LABEL_MANAGED_BY,
        LABEL_JOB,
        LABEL_JOB_UID,
        LABEL_ATTEMPT,
        LABEL_RANK,
    }
    assert pod["spec"]["tolerations"] == LOST_NODE
    absent = {"nodeSelector", "imagePullSecrets", "priorityClassName", "serviceAccountName"}
    assert not absent & pod["spec"].keys()
    assert set(pod["spec"]["containers"][0]["resources"]["limits"]) == {"memory"}


def test_a_job_says_it_in_a_pods_own_words() -> None:
    pod = worker(**POD_FIELDS)
    spec = pod["spec"]
    for name in ("nodeSelector", "imagePullSecrets", "priorityClassName", "serviceAccountName"):
        assert spec[name] == POD_FIELDS[name]
    assert spec["tolerations"] == [*LOST_NODE, GPU]
    assert pod["metadata"]["annotations"] == {**OURS, "example.com/owner": "Team A"}
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["metadata"]["labels"] == worker()["metadata"]["labels"] | {"team": "a"}
    assert spec["automountServiceAccountToken"] is False, "also with a ServiceAccount of the user's"
    assert {k: v for k, v in spec.items() if k not in POD_FIELDS} == {
        k: v for k, v in worker()["spec"].items() if k not in POD_FIELDS
    }, "nothing else of the pod changes, its security least of all"


def test_the_installation_says_it_for_every_job() -> None:
    given = {k: v for k, v in POD_FIELDS.items() if k not in ("serviceAccountName", "labels")}
    pod, own = worker(installed(**given)), worker(**given)
    assert pod == own


def test_both_are_in_the_pod_and_the_job_wins_where_both_say_something() -> None:
    settings = installed(
        nodeSelector={"pool": "any", "zone": "a"},
        tolerations=[{"key": "dedicated", "value": "training"}],
        imagePullSecrets=[{"name": "site"}, {"name": "pull"}],
        priorityClassName="low",
        annotations={"example.com/owner": "site", "sidecar.istio.io/inject": "true"},
    )
    pod = worker(settings, **POD_FIELDS)
    assert pod["spec"]["nodeSelector"] == {"pool": "a100", "zone": "a"}
    site = {"key": "dedicated", "operator": "Equal", "value": "training"}
    assert pod["spec"]["tolerations"] == [*LOST_NODE, site, GPU]
    assert pod["spec"]["imagePullSecrets"] == [{"name": "site"}, {"name": "pull"}], "a list of names, by name"
    assert pod["spec"]["priorityClassName"] == "high"
    assert pod["metadata"]["annotations"] == {
        **OURS,
        "example.com/owner": "Team A",
        "sidecar.istio.io/inject": "true",
    }
    assert worker(settings)["spec"]["priorityClassName"] == "low"


@pytest.mark.parametrize(
    ("toleration", "ours"),
    [
        ({"key": LOST_NODE[0]["key"], "operator": "Exists", "effect": "NoExecute"}, LOST_NODE[1:]),
        ({"key": LOST_NODE[1]["key"], "operator": "Exists"}, LOST_NODE[:1]),
        ({"key": LOST_NODE[0]["key"], "operator": "Exists", "effect": "NoSchedule"}, LOST_NODE),
        ({"operator": "Exists"}, LOST_NODE),
    ],
    ids=["for ever", "every effect", "another effect", "everything"],
)
def test_how_soon_a_lost_node_is_left_is_ours_unless_somebody_decided(
    toleration: dict[str, Any], ours: list[Any]
) -> None:
    assert worker(tolerations=[toleration])["spec"]["tolerations"] == [*ours, toleration]
    assert worker(installed(tolerations=[toleration]))["spec"]["tolerations"] == [*ours, toleration]


def test_a_cpu_limit_is_in_the_limits_alone() -> None:
    resources = worker(resources={"cpu": "500m", "cpuLimit": 1.5})["spec"]["containers"][0]["resources"]
    assert resources["requests"]["cpu"] == "500m"
    assert resources["limits"] == {"cpu": "1500m", "memory": "4Gi"}


def test_a_label_of_ours_cannot_be_had_by_the_back_door() -> None:
    situation = look(seen(job(labels={"llmtrain.dev/job-uid": "another"})), T0)
    assert situation.spec is None
    assert "llmtrain.dev/job-uid" in " ".join(situation.mistakes)


async def test_the_memory_api_of_a_laptop_takes_the_pods() -> None:
    async with Control(MemoryApi()).up() as control:
        await control.apply(**POD_FIELDS)
        pods = await eventually("both ranks", lambda: len(control.pods()) == 2 and control.pods())
        assert all(pod["spec"]["nodeSelector"] == {"pool": "a100"} for pod in pods.values())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '{"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}',
            "trainer.tolerations[0].value",
        ),
        ('{"nodeSelector": {"pool": 1}}', "trainer.nodeSelector.pool: got 1; use a text, in quotes"),
        ('{"annotations": {"llmtrain.dev/x": "y"}}', "the operator sets llmtrain.dev/x itself"),
        ('{"serviceAccountName": "x"}', "trainer.serviceAccountName: is not a field"),
        ('{"priorityClassName": "Very High"}', "trainer.priorityClassName: got 'Very High'"),
        ('{"tolerations": ', "is no JSON"),
        ("[]", "--worker-defaults"),
    ],
)
def test_a_mistake_of_the_installation_stops_the_operator_with_a_sentence(
    text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--trainer-image=t", f"--worker-defaults={text}"])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("llmtrain-operator: --worker-defaults: ")
    assert told in error
    assert len(error.splitlines()) == 1


def test_no_defaults_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["--worker-defaults="], ["--worker-defaults={}"]):
        assert parse(["--trainer-image=t", *argv]).worker_defaults == WorkerDefaults()
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert "under what its job says (default: {})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("status", "message", "kind", "fields"),
    [
        (
            422,
            'Pod "tiny-0-0" is invalid: spec.containers[0].resources.requests: Invalid value: "1": must be '
            "less than or equal to cpu limit of 500m",
            RefusalKind.REJECTED,
            ["spec.resources.cpuLimit", "lower resources.cpu"],
        ),
        (
            403,
            "failed quota: limits: must specify limits.cpu for: trainer",
            RefusalKind.REJECTED,
            ["spec.resources.cpuLimit"],
        ),
        (
            403,
            "failed quota: limits: must specify limits.cpu for: proxy; limits.memory for: proxy",
            RefusalKind.REJECTED,
            ["add a LimitRange with defaults"],
        ),
        (
            403,
            "failed quota: q: must specify limits.ephemeral-storage for: trainer; "
            "requests.ephemeral-storage for: trainer",
            RefusalKind.REJECTED,
            ["trainer.scratch.sizeLimit"],
        ),
        (
            403,
            "maximum cpu usage per Container is 1, but limit is 2",
            RefusalKind.REJECTED,
            ["spec.resources.cpu", "cpuLimit"],
        ),
        (
            403,
            "maximum memory usage per Container is 2Gi, but limit is 4Gi",
            RefusalKind.REJECTED,
            ["spec.resources.memory"],
        ),
        (
            403,
            'error looking up service account a/x: serviceaccount "x" not found',
            RefusalKind.FORBIDDEN,
            ["spec.serviceAccountName"],
        ),
        (
            403,
            'pods "tiny-0-0" is forbidden: no PriorityClass with name high was found',
            RefusalKind.FORBIDDEN,
            ["spec.priorityClassName"],
        ),
        (
            403,
            "insufficient quota to match these scopes: [{PriorityClass In [high]}]",
            RefusalKind.FORBIDDEN,
            ["spec.priorityClassName"],
        ),
    ],
)
def test_a_refusal_names_the_field_that_helps(
    status: int, message: str, kind: RefusalKind, fields: list[str]
) -> None:
    refusal = classify(status, message)
    assert refusal is not None
    assert refusal.kind is kind
    assert all(field in (refusal.hint or "") for field in fields), refusal.hint


def test_a_started_job_keeps_its_own_fields_for_every_attempt() -> None:
    started = job(plan(seen(job(**POD_FIELDS)), T0).status, **POD_FIELDS)
    actions = plan(seen(started), T0).actions
    pods = [a.manifest for a in actions if isinstance(a, CreatePod)]
    assert len(pods) == 2
    assert all(pod["spec"]["serviceAccountName"] == "trainer" for pod in pods)
