"""What the API server refuses, what the operator refuses, and that they and the model agree."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from harness.bad_manifests import BAD
from harness.cluster import Cluster, Namespace, Refused, wait_for
from harness.folder_names import FOLDERS, HIDDEN, WRONG
from harness.jobs import manifest
from harness.yaml_scalars import SCALARS
from integration.conftest import Operator

from llmtrain_api import InvalidJob, parse_manifest
from llmtrain_operator.local.manifest_yaml import load


@pytest.fixture(scope="module")
def refusals(empty_namespace: Namespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one `kubectl apply` says of each of all manifests: it goes on after an error."""
    folder = tmp_path_factory.mktemp("bad")
    files = {folder / f"{number}.yaml": name for number, name in enumerate(BAD)}
    for path, name in files.items():
        bad = BAD[name].manifest
        document = bad | {"metadata": bad["metadata"] | {"namespace": empty_namespace.name}}
        path.write_text(yaml.safe_dump(document))
    said = empty_namespace.cluster.kubectl("apply", "-f", str(folder), check=False).stderr
    errors = re.split(r"^(?=Error from server|error: |The \w+ )", said, flags=re.MULTILINE)
    return {name: "".join(error for error in errors if f'"{path}"' in error) for path, name in files.items()}


@pytest.mark.parametrize("name", BAD)
def test_kubectl_apply_refuses_it_with_field_and_fix(refusals: dict[str, str], name: str) -> None:
    bad, said = BAD[name], refusals[name]
    assert bad.field in said or bad.field.removeprefix("metadata.") in said
    assert bad.said_by_server in said


def test_nothing_that_is_refused_is_there(refusals: dict[str, str], empty_namespace: Namespace) -> None:
    assert all(refusals.values()), [name for name, said in refusals.items() if not said]
    assert empty_namespace.cluster.call("GET", empty_namespace.jobs_path())["items"] == []


def test_what_only_the_operator_sees_ends_as_not_accepted_and_an_edit_recovers(
    namespace: Namespace, operator: Operator
) -> None:
    namespace.apply(manifest(output={"uri": "file:///data/run"}))

    def accepted(value: str) -> dict[str, str] | None:
        conditions = namespace.status("tiny").get("conditions", [])
        return next((c for c in conditions if c["type"] == "Accepted" and c["status"] == value), None)

    condition = wait_for("Accepted=False", lambda: accepted("False"))
    assert "spec.output.uri" in condition["message"]
    assert "use pvc://" in condition["message"]
    assert namespace.pods() == {}
    namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": {"output": {"uri": "pvc://checkpoints/x"}}})
    wait_for("Accepted=True", lambda: accepted("True"))
    assert operator.process is not None


def test_the_spec_is_immutable_once_an_attempt_has_started(namespace: Namespace, operator: Operator) -> None:
    namespace.apply(manifest())
    wait_for("attempt 0", lambda: namespace.status("tiny").get("attempt") == 0 or None)
    with pytest.raises(Refused, match="cannot change once an attempt has started"):
        namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": {"nodes": 3}})
    both = {"spec": {"nodes": 3}, "status": {"phase": "Failed"}}
    with pytest.raises(Refused, match="cannot change once an attempt has started"):
        # the rule lets a write of the status pass unread: what is written beside a spec must be none
        namespace.cluster.merge(namespace.jobs_path("tiny"), both)
    for edit in ({"task": "causal"}, {"labels": {"team": "a"}}, {"training": {"seed": 8}}):
        with pytest.raises(Refused, match=r"but for .*suspend"):
            namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": edit})
    namespace.cluster.merge(namespace.jobs_path("tiny"), {"metadata": {"labels": {"team": "nlp"}}})
    namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": {"recovery": {"maxRestarts": 7}}})
    namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": {"suspend": True}})
    wait_for("Suspended", lambda: namespace.status("tiny").get("phase") == "Suspended" or None)
    assert namespace.pods() == {}
    namespace.cluster.merge(namespace.jobs_path("tiny"), {"spec": {"suspend": False}})
    wait_for("attempt 1", lambda: namespace.status("tiny").get("attempt") == 1 or None)
    assert operator.process is not None


def test_a_job_keeps_its_controller(namespace: Namespace) -> None:
    other = {"managedBy": "kueue.x-k8s.io/multikueue"}
    namespace.apply(manifest(**other))
    namespace.apply(manifest("ours"))
    for name, edit in (("tiny", {"managedBy": None}), ("ours", other)):
        with pytest.raises(Refused, match="managedBy never changes"):
            namespace.cluster.merge(namespace.jobs_path(name), {"spec": edit})


TRAINING: list[Any] = [
    *({"maxSteps": steps} for steps in ("4", True, 1e3, 2.5, None, "1:30")),
    *({"maxSteps": 4, "compile": flag} for flag in ("no", True, 1, None)),
    *({"maxSteps": 4, "learningRate": rate} for rate in (1, "1e-3", 1e-3, True)),
    *({"max_steps": 4}, [], None, {"seed": None}, {"maxSteps": 4, "zeroStage": None}),
]
CPU: list[Any] = [1, 0, 0.5, "500m", "1.5", ".5", "5.", "+1", "1n", "-1", "", "0.0"]
CPU += [True, [], {}, [1], 1e300]
VARIANTS: list[dict[str, Any]] = [
    {"nodes": n, "training": {"globalBatchSize": b, "microBatchSize": 1}} for n in (1, 7) for b in (1, 6, 7)
] + [{"resources": {"cpu": cpu, "memory": memory}} for cpu in CPU for memory in ("4Gi", 4 << 30, "4 Gi")]
VARIANTS += [
    {"resources": {"memory": memory}}
    for memory in ("0.5Ti", 8e9, "1e9", "1E9", "1P", "1Pi", "1e99", "4GB", "ki", "1K", {"a": 1}, -4.5)
]
VARIANTS += (
    [{"nodes": nodes} for nodes in ("1", True, 2.5, None, [1])]
    + [{"training": training} for training in TRAINING]
    + [{"image": image} for image in (5, "", None, True)]
)

NAMES = sorted({*FOLDERS, *HIDDEN, *WRONG} - {"a\x00b"})
VARIANTS += [{"dataset": {"name": f"pvc://lake/{name}"}} for name in NAMES]
VARIANTS += [{"output": {"uri": f"pvc://lake/{name}"}} for name in NAMES]
VARIANTS += [
    {name: {key: "x"}}
    for name in ("nodeSelector", "labels", "annotations")
    for key in ("a.b/c", "A", "A.b/c", "a/", "/a", "", "a" * 64, f"{'a' * 253}/b", f"{'a' * 254}/b", "a..b/c")
]
LABELS: tuple[Any, ...] = ("", "-", "a_b.C", "a" * 63, "a" * 64, "ü", None, True, {})
VARIANTS += [{"nodeSelector": {"a": label}} for label in LABELS]
VARIANTS += [{"annotations": {"a": value}} for value in ("", "{}\n", "ü" * 4096, "a" * 4097, None, 1)]
TOLERATIONS: tuple[dict[str, Any], ...] = (
    *({"operator": operator} for operator in ("Exists", "Equal", "", None, "exists")),
    *({"effect": effect} for effect in ("NoSchedule", "", None, "noexecute")),
    *({"effect": "NoExecute", "tolerationSeconds": seconds} for seconds in (0, 30, -1, 2**31, 1.5, "5")),
    *({"operator": "Exists", "value": value} for value in ("", None, "b")),
    *({"key": key, "operator": "Exists"} for key in ("", None, "a/b", "a/b/c")),
)
VARIANTS += [{"tolerations": [{"key": "a", **rest}]} for rest in TOLERATIONS]
VARIANTS += [
    {name: value}
    for name in ("priorityClassName", "serviceAccountName")
    for value in ("a.b-c", "", "-a", "A", "a" * 253, "a" * 254, None, 1)
]
VARIANTS += [
    {"imagePullSecrets": secrets}
    for secrets in ([], None, [{"name": "a"}], [{"name": ""}], [{"x": 1}], [None])
]
VARIANTS += [{"dataset": {"name": f"pvc://{claim}/x"}} for claim in ("a.b", "a..b", "Lake", "my_lake", "")]
VARIANTS += [
    {"model": {"name": "builtin://tiny-llama", **kind, **size}}
    for kind in ({}, *({"tokenizerKind": kind} for kind in ("bpe", "wordPiece", "unigram", None, "BPE")))
    for size in ({}, *({"vocabSize": size} for size in (299, 300, 599, 600, None)))
]
VARIANTS += [
    {"checkpoint": {"keepBest": keep}, "evaluation": evaluation}
    for keep in (True, False, None, "yes")
    for evaluation in ({}, {"everySteps": 0}, {"everySteps": 1}, None)
]


def test_a_text_is_one_document_for_kubectl_and_for_a_laptop(cluster: Cluster) -> None:
    text = "apiVersion: v1\nkind: Unknown\nmetadata: {name: x}\nvalues:\n"
    text += "".join(f"- {scalar}\n" for scalar in SCALARS)
    read = cluster.kubectl("annotate", "--local", "-f", "-", "-o", "json", "a=b", stdin=text).stdout
    theirs, ours = json.loads(read)["values"], load(text)["values"]
    for written, one, other in zip(SCALARS, theirs, ours, strict=True):
        assert (written, one, type(one)) == (written, other, type(other))


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
def test_api_server_and_model_agree(
    cluster: Cluster, empty_namespace: Namespace, spec: dict[str, Any]
) -> None:
    document = manifest(namespace=empty_namespace.name, **spec)
    try:
        parse_manifest(document)
        valid = True
    except InvalidJob:
        valid = False
    path = empty_namespace.jobs_path() + "?dryRun=All&fieldValidation=Strict"
    if valid:
        cluster.call("POST", path, document)
    else:
        with pytest.raises(Refused):
            cluster.call("POST", path, document)
