"""The control plane of `integration`, with Kueue's own controllers and scheduler beside it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.cluster import Cluster, Namespace
from integration.conftest import Operator, cluster, kubelet, namespace

from barecluster import build
from barecluster.settings import cache_root

__all__ = ["cluster", "kubelet", "namespace"]
KINDS = ("workloads", "workloads/status", "clusterqueues", "localqueues", "resourceflavors")


@pytest.fixture(scope="session")
def kueue(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    [folder] = build.ensure(["kueue"], cache_root())
    cluster.kubectl("apply", "--server-side", "-f", str(folder / "files"))
    cluster.wait_served("kueue.x-k8s.io/v1beta2", *KINDS)
    log = tmp_path_factory.mktemp("kueue") / "kueue.log"
    with log.open("ab") as out:
        environment = {**os.environ, "KUBECONFIG": cluster.environment["KUBECONFIG"]}
        process = subprocess.Popen([folder / "kueue"], env=environment, stdout=out, stderr=out)
    yield cluster
    process.terminate()
    process.wait(20)
    print(log.read_text()[-6000:])


class KueueOperator(Operator):
    """The operator with Kueue as its provider."""

    options = ("--provider=kueue",)


@pytest.fixture
def operator(kueue: Cluster, namespace: Namespace, tmp_path: Path) -> Iterator[Operator]:
    assert kueue is namespace.cluster
    running = KueueOperator(namespace, tmp_path)
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.kill()
    print(running.log.read_text()[-6000:])
