"""Two operators on a real API server: one acts, and another takes its place, whatever becomes of it."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.cluster import Namespace, restarts, wait_for
from harness.jobs import complete, manifest
from harness.kubelet import FakeKubelet
from integration.conftest import Operator

LEASE_SECONDS = 12
"""As an installation has it."""
TAKEN_OVER_SECONDS = 20.0
COMPLETE = complete().model_dump_json(by_alias=True, exclude_none=True)
BOOM = json.dumps({"outcome": "Failed", "failureClass": "UserError", "message": "boom", "checkpointStep": 10})


@pytest.fixture
def operators(namespace: Namespace, tmp_path: Path) -> Iterator[list[Operator]]:
    """The first is the one that acts."""
    both = [Operator(namespace, tmp_path / name, name, LEASE_SECONDS) for name in ("first", "second")]
    both[0].start()
    wait_for("the first acts", lambda: holder(namespace) == "first")
    both[1].start()
    wait_for("the second is ready", lambda: ready(both[1]))
    yield both
    for one in both:
        if one.process is not None and one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)
            one.kill()
        print(one.log.read_text()[-4000:])


def holder(namespace: Namespace) -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace.name}/leases/llm-training-operator"
    found = namespace.cluster.get(path)
    return ((found or {}).get("spec", {}).get("holderIdentity") or "").partition("_")[0]


def ready(one: Operator) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{one.health_port}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def leads(one: Operator) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{one.health_port}/metrics", timeout=10) as response:
        return "llmtrain_operator_leader 1.0" in response.read().decode()


def bring_up(namespace: Namespace, kubelet: FakeKubelet, attempt: int = 0) -> None:
    names = [f"tiny-{attempt}-{rank}" for rank in (0, 1)]
    namespace.wait_pods(*names)
    for pod in names:
        kubelet.run(pod)
    namespace.wait_phase("tiny", "Running", attempt)


def finish(namespace: Namespace, kubelet: FakeKubelet, attempt: int = 0) -> None:
    kubelet.end(f"tiny-{attempt}-1", 0, '{"outcome": "Complete"}')
    kubelet.end(f"tiny-{attempt}-0", 0, COMPLETE)
    namespace.wait_phase("tiny", "Succeeded", attempt)


def wait_taken(namespace: Namespace, by: str) -> float:
    began = time.monotonic()
    wait_for(f"{by} takes over", lambda: holder(namespace) == by, TAKEN_OVER_SECONDS)
    return time.monotonic() - began


def test_a_leader_that_is_killed_is_followed_and_its_job_runs_on(
    namespace: Namespace, operators: list[Operator], kubelet: FakeKubelet, audit: Path
) -> None:
    first, second = operators
    namespace.apply(manifest())
    bring_up(namespace, kubelet)
    assert (leads(first), leads(second)) == (True, False)
    before = namespace.job("tiny")["metadata"]["resourceVersion"]
    first.kill()
    print(f"taken over after {wait_taken(namespace, 'second'):.1f} s")
    wait_for("it acts", lambda: leads(second))
    assert ready(second)
    # what it does shows that it acts; that nothing else has changed shows that it did nothing before
    assert namespace.job("tiny")["metadata"]["resourceVersion"] == before
    kubelet.end("tiny-0-1", 1, BOOM)
    namespace.wait_phase("tiny", "Restarting", 1)
    bring_up(namespace, kubelet, 1)
    finish(namespace, kubelet, 1)
    assert restarts(namespace.status("tiny")) == (1, 1, 0)
    assert len(namespace.pod_creates(audit)) == 4


@pytest.mark.proof
def test_a_leader_that_was_stopped_does_nothing_when_it_goes_on(
    namespace: Namespace, operators: list[Operator], kubelet: FakeKubelet, audit: Path
) -> None:
    first, second = operators
    assert first.process is not None
    namespace.apply(manifest())
    bring_up(namespace, kubelet)
    os.kill(first.process.pid, signal.SIGSTOP)
    # it will go on with this in its queue
    kubelet.end("tiny-0-1", 1, BOOM)
    wait_taken(namespace, "second")
    namespace.wait_phase("tiny", "Restarting", 1)
    bring_up(namespace, kubelet, 1)
    before = namespace.job("tiny")["metadata"]["resourceVersion"]
    said = len(first.log.read_text())
    os.kill(first.process.pid, signal.SIGCONT)
    wait_for("it knows", lambda: "leads-no-more" in first.log.read_text())
    wait_for("it stands by", lambda: ready(first) and not leads(first))
    told = first.log.read_text()[said:]
    for act in ("created", "deleted", "phase "):
        assert f" {act}" not in told.replace('"', " "), told
    assert namespace.job("tiny")["metadata"]["resourceVersion"] == before
    assert leads(second)
    # and it is of use again
    second.kill()
    wait_taken(namespace, "first")
    finish(namespace, kubelet, 1)
    assert restarts(namespace.status("tiny")) == (1, 1, 0)
    assert len(namespace.pod_creates(audit)) == 4


def test_a_leader_that_is_told_to_end_hands_over_at_once(
    namespace: Namespace, operators: list[Operator], kubelet: FakeKubelet, audit: Path
) -> None:
    """As in an upgrade."""
    first, second = operators
    namespace.apply(manifest())
    bring_up(namespace, kubelet)
    assert first.stop() == 0
    # well before the Lease would have run out
    wait_for("the second takes over", lambda: holder(namespace) == "second", LEASE_SECONDS * 0.6)
    wait_for("it acts", lambda: leads(second))
    finish(namespace, kubelet)
    assert restarts(namespace.status("tiny")) == (0, 0, 0)
    assert len(namespace.pod_creates(audit)) == 2
