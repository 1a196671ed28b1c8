"""The web page in front of a real API server: with the rights that the chart gives it, users with theirs."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness.charts import rendered
from harness.children import ROOT, environment
from harness.cluster import Cluster, Namespace, Object, wait_for
from harness.jobs import manifest
from harness.ports import free_port

RBAC = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
RIGHTS = {"anna": ["get", "list", "watch", "patch"], "reader": ["get", "list", "watch"], "stranger": []}
ACTION = {"X-Llmtrain-Action": "1"}


def token_of(cluster: Cluster, namespace: str, account: str) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(cluster.call("POST", path, body)["status"]["token"])


def add_users(cluster: Cluster, namespace: str) -> None:
    """ServiceAccounts of the namespace, with those rights in it."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    for name, verbs in RIGHTS.items():
        who = {"metadata": {"name": name, "namespace": namespace}}
        cluster.call("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", who)
        rule = {"apiGroups": ["llmtrain.dev"], "resources": ["llmtrainingjobs"], "verbs": verbs}
        cluster.call("POST", f"{rbac}/roles", who | {"rules": [rule] if verbs else []})
        binding = {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        }
        cluster.call("POST", f"{rbac}/rolebindings", who | binding)


def kubeconfig(cluster: Cluster, token: str) -> Object:
    """Of whoever holds a token, and of nobody else."""
    found: Object = yaml.safe_load(Path(cluster.environment["KUBECONFIG"]).read_text())
    server = found["clusters"][0]["cluster"]
    if "certificate-authority" in server:
        data = Path(server.pop("certificate-authority")).read_bytes()
        server["certificate-authority-data"] = b64encode(data).decode()
    found["users"][0]["user"] = {"token": token}
    return found


def may_patch(cluster: Cluster, namespace: Namespace, user: str) -> bool:
    """Whether the API server would let a user change jobs."""
    asked = {
        "namespace": namespace.name,
        "verb": "patch",
        "group": "llmtrain.dev",
        "resource": "llmtrainingjobs",
    }
    account = f"system:serviceaccount:{namespace.name}:{user}"
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "resourceAttributes": asked},
    }
    answer = cluster.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


class Page:
    """A page that runs, as its users reach it."""

    def __init__(self, port: int, tokens: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._tokens = tokens

    def ask(self, path: str, user: str = "", action: dict[str, str] | None = None) -> tuple[int, Any]:
        headers = dict(action or {})
        if user:
            headers["Authorization"] = f"Bearer {self._tokens.get(user, user)}"
        method = "GET" if action is None else "POST"
        request = urllib.request.Request(self.url + path, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def told(self, user: str) -> list[str]:
        """Names of the jobs that an open page of that user is told of first."""
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        request = urllib.request.Request(f"{self.url}/api/stream", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            assert response.readline() == b"event: jobs\n"
            return sorted(row["name"] for row in json.loads(response.readline().removeprefix(b"data: ")))

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False


@pytest.fixture
def page(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> Iterator[Page]:
    """For all namespaces, with nothing but the chart's ServiceAccount."""
    objects = rendered(namespace.name, "web.enabled=true")
    ours = [o for (kind, name), o in objects.items() if kind in RBAC and "-web" in name]
    assert len(ours) == 5
    for found in ours:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(found))
    account = next(o["metadata"]["name"] for o in ours if o["kind"] == "ServiceAccount")
    config = tmp_path / "config"
    config.write_text(yaml.safe_dump(kubeconfig(cluster, token_of(cluster, namespace.name, account))))
    add_users(cluster, namespace.name)
    tokens = {name: token_of(cluster, namespace.name, name) for name in RIGHTS}
    port = free_port()
    running = Page(port, tokens)
    command = [sys.executable, "-m", "llmtrain.web", "--port", str(port)]
    with (tmp_path / "page.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(KUBECONFIG=str(config)), stdout=log, stderr=log
        )
    try:
        wait_for("the page is ready", running.ready)
        yield running
    finally:
        process.terminate()
        assert process.wait(20) == 0
        print((tmp_path / "page.log").read_text()[-4000:])
        for found in ours:
            cluster.kubectl("delete", "-f", "-", "--wait=false", stdin=json.dumps(found))


def test_each_user_sees_and_does_what_their_own_rights_allow(
    cluster: Cluster, namespace: Namespace, page: Page, audit: Path
) -> None:
    namespace.apply(manifest())
    elsewhere = Namespace(cluster, "default")
    elsewhere.apply(manifest("hidden"))
    job = f"/api/jobs/{namespace.name}/tiny"
    try:
        wait_for("the page knows both", lambda: page.ask(job, "anna")[0] == 200)
        assert page.ask("/api/me")[0] == 401
        assert page.ask("/api/me", "nobody-has-this-token")[0] == 401
        assert page.ask("/api/me", "stranger")[0] == 403
        assert page.told("anna") == page.told("reader") == ["tiny"]
        for path in ("/api/jobs/default/hidden", "/api/jobs/default/there-is-none"):
            assert page.ask(path, "anna")[0] == 403, "whether it is there is told to those who may see it"
        assert page.ask(f"{job}/suspend", "reader", ACTION)[0] == 403
        assert page.ask(f"{job}/suspend", "anna", {})[0] == 403, "another site could have sent that"
        assert page.ask(f"{job}/delete", "anna", ACTION)[0] == 403
        assert namespace.job("tiny")["spec"].get("suspend") in (None, False)
        assert page.ask(f"{job}/suspend", "anna", ACTION) == (200, {})
        assert namespace.job("tiny")["spec"]["suspend"] is True
    finally:
        cluster.call("DELETE", elsewhere.jobs_path("hidden"))
    anna = f"system:serviceaccount:{namespace.name}:anna"
    wait_for("the audit log has anna's name", lambda: f'"{anna}"' in audit.read_text() or None)


def test_rights_that_are_taken_away_end_at_the_api_server(
    cluster: Cluster, namespace: Namespace, page: Page
) -> None:
    """What was allowed a moment ago is remembered by the page, and not by who decides."""
    namespace.apply(manifest())
    job = f"/api/jobs/{namespace.name}/tiny"
    wait_for("the page knows it", lambda: page.ask(job, "anna")[0] == 200)
    assert page.ask(f"{job}/suspend", "anna", ACTION)[0] == 200
    binding = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/rolebindings/anna"
    cluster.call("DELETE", binding)
    wait_for("the API server knows", lambda: not may_patch(cluster, namespace, "anna"))
    assert page.ask(f"{job}/resume", "anna", ACTION)[0] == 403
    assert namespace.job("tiny")["spec"]["suspend"] is True
