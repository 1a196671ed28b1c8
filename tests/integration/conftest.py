"""A real API server, its controllers and scheduler, and the operator as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness.cluster import ROOT, Cluster, Namespace, wait_for
from harness.kubelet import FakeKubelet
from harness.ports import free_port

NAME = f"itest-{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')}"
"""Each worker of pytest has a control plane of its own: what is the cluster's is no other test's."""


def cluster_tool(*words: str) -> str:
    done = subprocess.run(
        [str(ROOT / "hack" / "cluster"), *words], text=True, capture_output=True, check=False, timeout=1500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    cluster_tool("up", "--name", NAME, "--control-plane-only")
    exports = cluster_tool("env", "--name", NAME)
    found = dict(re.findall(r'export (\w+)="?([^"\n]+)"?', exports))
    found["PATH"] = found["PATH"].replace("$PATH", os.environ["PATH"])
    admin = Cluster(found)
    kinds = ("llmtrainingjobs", "llmtrainingruntimes", "clusterllmtrainingruntimes", "llmtrainingsweeps")
    for plural in kinds:
        admin.kubectl("apply", "-f", str(ROOT / "crds" / f"llmtrain.dev_{plural}.yaml"))
    admin.wait_served("llmtrain.dev/v1alpha1", *kinds, "llmtrainingjobs/status")
    yield admin
    cluster_tool("down", "--name", NAME)


@pytest.fixture(scope="session")
def audit(cluster: Cluster) -> Path:
    return Path(cluster.environment["KUBECONFIG"]).parents[1] / "logs" / "audit.log"


@contextmanager
def new_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace under Pod Security ``restricted``, asked to go afterwards."""
    name = f"it-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.call("POST", "/api/v1/namespaces", body)
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for("default ServiceAccount", lambda: cluster.get(account))
    yield Namespace(cluster, name)
    cluster.call("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    with new_namespace(cluster) as found:
        yield found


@pytest.fixture(scope="module")
def empty_namespace(cluster: Cluster) -> Iterator[Namespace]:
    """One for all tests of a file that leave nothing in it."""
    with new_namespace(cluster) as found:
        yield found


@pytest.fixture
def kubelet(namespace: Namespace) -> Iterator[FakeKubelet]:
    with FakeKubelet(namespace) as fake:
        yield fake


class Operator:
    """The operator as a process, for one namespace.

    Attributes:
        options: flags beside those that every test has.
    """

    options: tuple[str, ...] = ()

    def __init__(self, namespace: Namespace, folder: Path, name: str = "first", lease: int = 3) -> None:
        self.namespace, self.name, self.lease = namespace, name, lease
        folder.mkdir(exist_ok=True)
        self.log = folder / "operator.log"
        self.health_port = free_port()
        self.report_port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = self.namespace.cluster.environment | {
            "PYTHONPATH": os.pathsep.join(str(ROOT / p) for p in ("crds", "operator")),
        }
        command = [
            sys.executable,
            "-m",
            "llmtrain_operator",
            "--trainer-image=trainer:test",
            # there are no nodes here: the tests play the kubelet
            "--room=quota",
            f"--namespace={self.namespace.name}",
            f"--watch-namespace={self.namespace.name}",
            f"--health-port={self.health_port}",
            f"--report-port={self.report_port}",
            f"--report-url=https://localhost:{self.report_port}",
            f"--identity={self.name}",
            "--pod-ip=127.0.0.1",
            f"--lease-seconds={self.lease}",
            *self.options,
        ]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        """SIGTERM."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


@pytest.fixture
def operator(namespace: Namespace, tmp_path: Path) -> Iterator[Operator]:
    running = Operator(namespace, tmp_path)
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.kill()
    print(running.log.read_text()[-6000:])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)
