"""One job on two real kubelets: its processes are killed, its pods force-deleted, its operator too."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness.cluster import Namespace, restarts, shared_volume, wait_for
from harness.jobs import quick_manifest
from harness.podwatch import PodWatch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
GRACE_SECONDS = 30

KILL = """
import os, signal, sys
want, number = sys.argv[1], getattr(signal, sys.argv[2])
for pid in filter(str.isdigit, os.listdir("/proc")):
    words = open(f"/proc/{pid}/cmdline").read().split("\\0")
    environment = open(f"/proc/{pid}/environ").read().split("\\0")
    worker = any(word.startswith("LOCAL_RANK=") for word in environment)
    torchrun = not worker and any("torch.distributed.run" in w or w.endswith("torchrun") for w in words)
    if pid != "1" and (worker if want == "worker" else torchrun):
        os.kill(int(pid), number)
        print("signalled", pid)
        break
"""


def committed(output: Path) -> list[dict[str, Any]]:
    found = [json.loads(p.read_text()) for p in output.glob("checkpoints/step-*/manifest.json")]
    return sorted(found, key=lambda m: m["step"])


def kill_process(namespace: Namespace, pod: str, what: str, number: str = "SIGKILL") -> None:
    said = namespace.cluster.kubectl(
        "exec", "-n", namespace.name, pod, "--", "python3", "-c", KILL, what, number
    ).stdout
    assert "signalled" in said


def force_delete(namespace: Namespace, pod: str) -> None:
    namespace.cluster.kubectl("delete", "pod", pod, "-n", namespace.name, "--force", "--grace-period=0")


def kill_operator(namespace: Namespace) -> None:
    selector = "app.kubernetes.io/name=llm-training-operator"
    namespace.cluster.kubectl(
        "delete", "pod", "-n", "llmtrain-system", "-l", selector, "--force", "--grace-period=0"
    )


FAULTS = (
    ("python of rank 0", lambda ns, k: kill_process(ns, f"faults-{k}-0", "worker")),
    ("python of rank 1", lambda ns, k: kill_process(ns, f"faults-{k}-1", "worker")),
    ("torchrun of pod 1", lambda ns, k: kill_process(ns, f"faults-{k}-1", "torchrun")),
    ("pod of rank 0", lambda ns, k: force_delete(ns, f"faults-{k}-0")),
    ("pod of rank 1", lambda ns, k: force_delete(ns, f"faults-{k}-1")),
)


def gone(namespace: Namespace, uid: str) -> bool:
    """Whether nothing in the namespace carries that job's UID."""
    selector = f"?labelSelector=llmtrain.dev/job-uid={uid}"
    kinds = ("pods", "services", "configmaps")
    return not any(namespace.cluster.call("GET", namespace.core(k) + selector)["items"] for k in kinds)


def delete(namespace: Namespace, name: str) -> None:
    """Delete a job; its children must be gone within their grace time and 10 s."""
    uid = namespace.job(name)["metadata"]["uid"]
    namespace.cluster.call("DELETE", namespace.jobs_path(name))
    wait_for("every child is gone", lambda: gone(namespace, uid), GRACE_SECONDS + 10)


def test_each_fault_costs_one_attempt_and_nothing_that_was_committed(namespace: Namespace) -> None:
    steps = 400
    watch = PodWatch(namespace, 900)
    namespace.apply(quick_manifest("faults", steps))
    kill_operator(namespace)  # while it starts
    output = shared_volume(namespace.cluster) / namespace.name / "faults"
    for k, (name, fault) in enumerate(FAULTS):
        namespace.wait_phase("faults", "Running", k, 120)
        wait_for(f"a checkpoint of attempt {k}", partial(committed_by, output, k), 120)
        assert committed(output)[-1]["step"] < 0.8 * steps, f"{name}: too late to count"
        if k == 2:
            kill_operator(namespace)  # while it runs
        fault(namespace, k)
        if k == 3:
            kill_operator(namespace)  # while it restarts
        wait_for(f"{name}: attempt {k + 1}", partial(reached, namespace, k + 1), 60)
    status = namespace.wait_phase("faults", "Succeeded", len(FAULTS), 300)
    assert restarts(status) == (5, 3, 2)
    resumed_from_the_newest(output, status["attempts"])
    audit = Path(os.environ["KUBECONFIG"]).parents[1] / "logs" / "audit.log"
    assert len(namespace.pod_creates(audit)) == 2 * len(status["attempts"])
    assert watch.check() == 2 * len(status["attempts"]), "the watch must have seen them all"
    delete(namespace, "faults")
    used_output_is_refused(namespace, steps)


def reached(namespace: Namespace, attempt: int) -> bool:
    return bool(namespace.status("faults")["attempt"] == attempt)


def committed_by(output: Path, attempt: int) -> bool:
    return any(m["attempt"] == attempt for m in committed(output))


def resumed_from_the_newest(output: Path, attempts: list[dict[str, Any]]) -> None:
    """Every attempt went on from the newest committed step, and nobody committed behind its back."""
    found = committed(output)
    for number, record in enumerate(attempts[1:], start=1):
        newest = max(m["step"] for m in found if m["attempt"] < number)
        assert record["resumedStep"] == newest, f"attempt {number}"
        earlier = [m for m in found if m["attempt"] == number and m["step"] <= newest]
        assert not earlier, "an attempt went over what was committed"
        log = (output / "logs" / f"attempt-{number}" / "rank-0.log").read_text().splitlines()
        told = [json.loads(line)["from_step"] for line in log if '"event": "resumed"' in line]
        assert told == [newest], f"the log of attempt {number}"


def used_output_is_refused(namespace: Namespace, steps: int) -> None:
    """The same job applied again must not write over what it finds, and says so."""
    namespace.apply(quick_manifest("faults", steps))
    failed = namespace.wait_phase("faults", "Failed", 0, 60)["failure"]
    assert failed["class"] == "ConfigError"
    assert "output" in failed["message"]
    assert "output.ifExists" in f"{failed['message']} {failed.get('hint')}"
    delete(namespace, "faults")


def test_a_job_deleted_while_it_trains_takes_its_children_along_and_can_come_back(
    namespace: Namespace,
) -> None:
    for output in ("short-lived", "second-life"):
        namespace.apply(quick_manifest("again", 5000, output={"uri": f"pvc://checkpoints/{output}"}))
        namespace.wait_phase("again", "Running", 0, 120)
        folder = shared_volume(namespace.cluster) / namespace.name / output
        wait_for("a checkpoint", partial(committed_by, folder, 0), 120)
        delete(namespace, "again")


@pytest.mark.proof
def test_a_rank_that_hangs_is_named_and_the_gang_goes_on(namespace: Namespace) -> None:
    namespace.apply(quick_manifest("hangs", 400, recovery={"stepTimeoutSeconds": 20}))
    output = shared_volume(namespace.cluster) / namespace.name / "hangs"
    namespace.wait_phase("hangs", "Running", 0, 120)
    wait_for("a checkpoint", partial(committed_by, output, 0), 120)
    node = namespace.pods("llmtrain.dev/job=hangs")["hangs-0-1"]["spec"]["nodeName"]
    kill_process(namespace, "hangs-0-1", "worker", "SIGSTOP")
    wait_for("attempt 1", lambda: namespace.status("hangs")["attempt"] == 1, 120)
    failure = namespace.status("hangs")["failure"]
    assert (failure["class"], failure["rank"], failure["node"]) == ("Hang", 1, node)
    assert "stopped by a signal" in failure["message"]
    status = namespace.wait_phase("hangs", "Succeeded", 1, 300)
    assert restarts(status) == (1, 1, 0)
    delete(namespace, "hangs")
