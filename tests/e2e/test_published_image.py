"""What `output.publish.oci` has pushed, mounted by a real node as `llmtrain serve --oci --plain` says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import Namespace, wait_for
from harness.distribution import PASSWORD, USER, Distribution, distribution
from harness.pushes import exported

from llmtrain.render.serve import deployment_and_service
from llmtrain.render.served import Served
from llmtrain_api import Task
from llmtrain_trainer.export import publish as publishing
from testlayers import TRAINER_IMAGE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SECRET = "pull"
DIGESTS = """
import hashlib, json, pathlib, sys
root = pathlib.Path(sys.argv[1])
files = [path for path in root.rglob("*") if path.is_file()]
print(json.dumps({str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}))
try:
    (root / "new").write_text("x")
except OSError as error:
    print(error.strerror)
"""
RESTRICTED = {"runAsNonRoot": True, "runAsUser": 1000}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PUBLISH_username", USER)
    monkeypatch.setenv("PUBLISH_password", PASSWORD)
    with distribution(tmp_path / "registry") as made:
        yield made


def pull_secret(namespace: Namespace, server: Distribution) -> None:
    auths = {server.host: {"username": USER, "password": PASSWORD}}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": auths})},
    }
    namespace.cluster.call("POST", namespace.core("secrets"), secret)


def pod(url: str) -> dict[str, Any]:
    """The pod that serves it, with a program in place of vLLM that reads all files."""
    served = Served("model", Task.CHAT, url, gpus=0, image=TRAINER_IMAGE, secret=SECRET)
    spec = deployment_and_service(served)[0]["spec"]["template"]["spec"]
    [container] = spec["containers"]
    kept = ("name", "image", "volumeMounts", "securityContext")
    reads = {name: container[name] for name in kept} | {
        "command": ["python3", "-c", DIGESTS, container["args"][0]]
    }
    reads["imagePullPolicy"] = "Never"
    changed = {"containers": [reads], "securityContext": RESTRICTED, "restartPolicy": "Never"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader"}, "spec": spec | changed}


def test_a_node_mounts_the_files_that_were_pushed(
    namespace: Namespace, server: Distribution, tmp_path: Path
) -> None:
    asked, start = exported(tmp_path / "o", server.host)
    found = publishing.publish(asked, start, lambda _: None)
    assert found.url is not None, found.error
    pull_secret(namespace, server)
    namespace.cluster.call("POST", namespace.core("pods"), pod(found.url))

    def ended() -> bool | None:
        phase = (namespace.cluster.get(namespace.core("pods", "reader")) or {})["status"]["phase"]
        return phase in ("Succeeded", "Failed") or None

    wait_for("the pod has read the image", ended, 300)
    printed = namespace.cluster.kubectl("logs", "-n", namespace.name, "reader").stdout.splitlines()
    export = start.output.export
    files = [path for path in export.rglob("*") if path.is_file()]
    wanted = {str(p.relative_to(export)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    assert json.loads(printed[0]) == wanted
    assert printed[1] == "Read-only file system"
