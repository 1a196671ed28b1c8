"""What is known of a failure reaches the status: its name, what helps, and who pays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from harness.jobs import T0, job, later, pod, running, seen

from llmtrain_api import Failure, FailureClass, Outcome, TerminationMessage
from llmtrain_operator.plan import plan
from llmtrain_operator.types import Pod, PodPhase, Termination


def failure_of(*pods: Pod) -> Failure:
    """What a running gang of two makes of these pods once all is known."""
    observed = seen(job(running()), pods)
    first = plan(observed, later(1)).status
    failure = plan(replace(observed, job=job(first)), later(300)).status.failure
    assert failure is not None
    return failure


def ended(code: int, reason: str = "Error", message: str = "") -> Pod:
    return replace(pod(0, 1, PodPhase.FAILED), termination=Termination(code, reason, message, T0))


@pytest.mark.parametrize(
    ("of", "failure_class", "reason", "hint"),
    [
        (ended(137), FailureClass.UNKNOWN, "Killed", "resources.memory"),
        (ended(135), FailureClass.UNKNOWN, "BusError", "shared memory"),
        (ended(127, "Error"), FailureClass.CONFIG_ERROR, "NoSuchCommand", "spec.image"),
        (
            ended(128, "StartError", "exec: \"x\": executable file not found in $PATH"),
            FailureClass.UNKNOWN, "CommandMissing", "spec.image",
        ),
        (ended(137, "OOMKilled"), FailureClass.OUT_OF_MEMORY, "HostOutOfMemory", "spec.resources.memory"),
        (
            replace(pod(0, 1, PodPhase.FAILED), reason="UnexpectedAdmissionError", message="Allocate failed"),
            FailureClass.INFRASTRUCTURE, "DeviceNotGiven", "device plugin",
        ),
        (
            replace(
                pod(0, 1, PodPhase.FAILED),
                disruption='Evicted: Usage of EmptyDir volume "scratch" exceeds the limit "1Gi". ',
            ),
            FailureClass.USER_ERROR, "ScratchFull", "trainer.scratch.sizeLimit",
        ),
        (
            replace(pod(0, 1, PodPhase.FAILED), disruption="PreemptionByScheduler: preempting"),
            FailureClass.INFRASTRUCTURE, "Preempted", "priorityClassName",
        ),
    ],
)  # fmt: skip
def test_what_ends_a_pod_is_told_with_its_name_and_what_helps(
    of: Pod, failure_class: FailureClass, reason: str, hint: str
) -> None:
    failure = failure_of(of, pod(0, 0, PodPhase.RUNNING))
    assert (failure.failure_class, failure.reason) == (failure_class, reason)
    assert failure.hint is not None
    assert hint in failure.hint


def test_the_name_that_a_launcher_found_is_kept() -> None:
    message = TerminationMessage(
        outcome=Outcome.FAILED,
        failure_class=FailureClass.OUT_OF_MEMORY,
        message="OutOfMemoryError: CUDA out of memory",
        reason="GpuOutOfMemory",
        hint="lower training.microBatchSize",
    )
    text = message.model_dump_json(by_alias=True, exclude_none=True)
    failure = failure_of(ended(1, "Error", text), pod(0, 0, PodPhase.RUNNING))
    assert (failure.reason, failure.hint) == ("GpuOutOfMemory", "lower training.microBatchSize")


@pytest.mark.parametrize("reason", ["", "with spaces", "a" * 65, "<script>", 7])
def test_a_name_that_is_none_is_not_believed(reason: object) -> None:
    text = f'{{"outcome": "Failed", "failureClass": "UserError", "message": "m", "reason": {reason!r}}}'
    failure = failure_of(ended(1, "Error", text.replace("'", '"')), pod(0, 0, PodPhase.RUNNING))
    assert (failure.failure_class, failure.message, failure.reason) == (FailureClass.USER_ERROR, "m", None)


@pytest.mark.parametrize(
    ("hold", "hint"),
    [
        (("Unschedulable", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."), "lower gpusPerNode"),
        (("ErrImagePull", 'failed to pull image "reg/a:1": not found'), "correct its name and tag"),
        (("CreateContainerConfigError", 'secret "hub" not found'), "create that Secret"),
        (("Unschedulable", 'persistentvolumeclaim "data" not found'), "create that PersistentVolumeClaim"),
    ],
)
def test_what_a_pod_waits_for_is_told_with_what_helps(hold: tuple[str, str], hint: str) -> None:
    pods = (replace(pod(0, 0, PodPhase.PENDING), hold=hold), pod(0, 1, PodPhase.RUNNING))
    waiting = plan(seen(job(running()), pods), later(1)).status.waiting
    assert waiting is not None
    assert waiting.reason == hold[0]
    assert hold[1] in waiting.message
    assert hint in waiting.message
