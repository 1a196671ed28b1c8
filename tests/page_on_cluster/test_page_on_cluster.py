"""The page of a real cluster in a headless Chromium: two jobs run, one waits, one has failed, and people with
rights on one namespace, or none, look at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness.children import ROOT
from harness.cluster import Namespace, wait_for
from harness.jobs import manifest, quick_manifest
from harness.namespaces import namespace_with_volume
from harness.web_install import web_page

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
STEPS = 100_000
"""More than there is time for."""
BROKEN = {"command": ["python3", "-c", "raise ValueError('no such column: reward')"]}


@pytest.fixture(scope="module")
def ours() -> Iterator[Namespace]:
    with namespace_with_volume() as found:
        yield found


@pytest.fixture(scope="module")
def theirs() -> Iterator[Namespace]:
    with namespace_with_volume() as found:
        yield found


def token(namespace: Namespace, account: str) -> str:
    """A token of a new ServiceAccount."""
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
    namespace.cluster.call("POST", namespace.core("serviceaccounts"), body)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = namespace.core("serviceaccounts", account) + "/token"
    return str(namespace.cluster.call("POST", path, request)["status"]["token"])


def let_edit(namespace: Namespace, account: str) -> None:
    """Give a ServiceAccount the role `edit` in its own namespace, as a platform team does."""
    role = f"--serviceaccount={namespace.name}:{account}"
    namespace.cluster.kubectl(
        "create", "rolebinding", account, "--clusterrole=edit", role, "-n", namespace.name
    )


@contextmanager
def forwarded(namespace: Namespace) -> Iterator[str]:
    """The page's address on this machine."""
    service = ["svc/llm-training-operator-web", ":80"]
    command = ["kubectl", "port-forward", "-n", "llmtrain-system", *service]
    env = namespace.cluster.environment
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            port = line.partition("127.0.0.1:")[2].partition(" ")[0]
            assert port.isdigit(), line
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def begin_jobs(ours: Namespace, theirs: Namespace) -> None:
    """One that fails, two that run, one for which there is no room; and another team's."""
    broken = manifest("broken", nodes=1, entrypoint=BROKEN, recovery={"maxRestarts": 0})
    for field in ("model", "dataset", "training"):
        broken["spec"].pop(field)
    ours.apply(broken)
    ours.wait_phase("broken", "Failed", seconds=240)
    for name in ("first", "second"):
        ours.apply(quick_manifest(name, STEPS, nodes=1))
        ours.wait_phase(name, "Running", seconds=240)
    ours.apply(manifest("huge", nodes=1, resources={"cpu": "4000"}))
    ours.wait_phase("huge", "Queued", seconds=60)
    theirs.apply(manifest("secret-project", nodes=1, suspend=True))


@pytest.fixture(scope="module")
def seen(
    ours: Namespace, theirs: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    assert shutil.which("node"), "Node is needed: it drives the browser"
    folder = tmp_path_factory.mktemp("page")
    begin_jobs(ours, theirs)
    people = {"user": token(ours, "anna"), "stranger": token(theirs, "mallory")}
    let_edit(ours, "anna")
    jobs = {"runs": "first", "beside": "second", "waits": "huge", "failed": "broken"}
    (folder / "who.json").write_text(json.dumps({**people, **jobs, "namespace": ours.name}))
    with web_page(), forwarded(ours) as address:
        wait_for("the forwarded page", lambda: reached(address))
        shots = Path(os.environ.get("LLMTRAIN_SHOTS", folder))
        command = ["node", "test/drive-cluster.mjs", address, str(shots), str(folder / "who.json")]
        done = subprocess.run(
            command, cwd=ROOT / "web", capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)


def reached(address: str) -> bool:
    """Whether somebody answers there."""
    done = subprocess.run(["curl", "-sf", "-o", os.devnull, f"{address}/readyz"], check=False)
    return done.returncode == 0


def test_a_user_sees_their_own_namespace_alone(seen: dict[str, Any]) -> None:
    for width in (1440, 390):
        assert sorted(seen[f"jobs{width}"]) == ["broken", "first", "huge", "second"]
    assert "secret-project" not in json.dumps(seen)


def test_curves_move_and_logs_are_followed(seen: dict[str, Any]) -> None:
    for width in (1440, 390):
        before, after = seen[f"points{width}"]
        assert after > before
        assert "step" in seen[f"log{width}"]


def test_what_failed_and_what_waits_is_told_with_its_reason(seen: dict[str, Any]) -> None:
    assert "no such column: reward" in seen["why"]
    assert "huge" in seen["queue"]
    assert "cpu" in seen["queue"].lower()


def test_two_jobs_are_compared_and_one_is_stopped_and_goes_on(seen: dict[str, Any]) -> None:
    assert "first and second" in seen["compared"]
    assert "Running" in seen["resumed"]


def test_a_stranger_is_told_no(seen: dict[str, Any]) -> None:
    assert "may not list llmtrainingjobs" in seen["stranger"]


def test_nothing_is_loaded_from_elsewhere_and_the_page_is_for_all(seen: dict[str, Any]) -> None:
    assert seen["violations"] == [], "axe"
    # those who have not logged in, and the stranger, are told no by design
    assert [one for one in seen["errors"] if "401" not in one and "403" not in one] == []
    assert seen["foreign"] == []
