"""The control plane of `integration`, and the two nodes of `e2e`, with Kueue's own controllers beside."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.cluster import ROOT, Cluster, Namespace
from harness.kueue import kueue_beside, remove_kinds
from harness.namespaces import administrator, namespace_with_volume
from integration.conftest import Operator, cluster, kubelet, namespace

__all__ = ["cluster", "kubelet", "namespace"]
AS_BEFORE = ("--set", "queue.growSeconds=20")
"""What the layers of two nodes install the operator with."""


@pytest.fixture(scope="session")
def kueue(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kueue_beside(cluster, tmp_path_factory.mktemp("kueue") / "kueue.log"):
        yield cluster


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


def install(*words: str) -> None:
    """Install the chart into the two-node cluster as a person does, with these words of Helm's."""
    done = subprocess.run(
        [str(ROOT / "hack" / "install"), *words], text=True, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """A namespace of the two-node cluster, whose installed operator asks Kueue."""
    with kueue_beside(administrator(), tmp_path_factory.mktemp("kueue") / "nodes.log"):
        try:
            install("--set", "queue.provider=kueue", *AS_BEFORE)
            with namespace_with_volume() as found:
                yield found
        finally:
            install(*AS_BEFORE)
            remove_kinds(administrator())
