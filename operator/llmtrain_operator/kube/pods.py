"""From the API's JSON to `types.Pod`: only the fields that decisions rest on are decoded."""

from __future__ import annotations

from datetime import datetime

import msgspec

from llmtrain_api.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_RANK

from ..types import Pod, PodPhase, Termination


class _Struct(msgspec.Struct, rename="camel", frozen=True):
    pass


class _Meta(_Struct, frozen=True):
    name: str
    namespace: str
    uid: str
    resource_version: str
    labels: dict[str, str] = {}
    deletion_timestamp: datetime | None = None


class _Terminated(_Struct, frozen=True):
    exit_code: int
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class _Waiting(_Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _State(_Struct, frozen=True):
    terminated: _Terminated | None = None
    waiting: _Waiting | None = None


class _ContainerStatus(_Struct, frozen=True):
    name: str = ""
    state: _State = _State()


class _Condition(_Struct, frozen=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _Status(_Struct, frozen=True):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: list[_Condition] = []
    container_statuses: list[_ContainerStatus] = []


class _Spec(_Struct, frozen=True):
    node_name: str | None = None


class _RawPod(_Struct, frozen=True):
    metadata: _Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()


_decoder = msgspec.json.Decoder(_RawPod)


def decode_pod(raw: bytes) -> Pod:
    """A worker pod.

    Raises:
        msgspec.ValidationError: not a pod.
        KeyError, ValueError: without our labels.
    """
    pod = _decoder.decode(raw)
    labels = pod.metadata.labels
    container = pod.status.container_statuses[0] if pod.status.container_statuses else _ContainerStatus()
    return Pod(
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        resource_version=int(pod.metadata.resource_version),
        job=labels[LABEL_JOB],
        job_uid=labels[LABEL_JOB_UID],
        attempt=int(labels[LABEL_ATTEMPT]),
        rank=int(labels[LABEL_RANK]),
        phase=PodPhase(pod.status.phase),
        node=pod.spec.node_name,
        reason=pod.status.reason,
        message=pod.status.message,
        hold=_hold(pod.status, container),
        disruption=_disruption(pod.status),
        deletion_deadline=pod.metadata.deletion_timestamp,
        termination=_termination(container.state.terminated),
    )


def _termination(ended: _Terminated | None) -> Termination | None:
    if ended is None:
        return None
    return Termination(ended.exit_code, ended.reason, ended.message, ended.finished_at)


def _hold(status: _Status, container: _ContainerStatus) -> tuple[str, str] | None:
    """Why it is not running: the scheduler's word, else the kubelet's."""
    for condition in status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason or "Unscheduled", condition.message or "not scheduled yet"
    waiting = container.state.waiting
    if waiting is None or not waiting.reason:
        return None
    return waiting.reason, waiting.message or "the kubelet is at it"


def _disruption(status: _Status) -> str | None:
    """Who takes the pod away, if anybody does."""
    for condition in status.conditions:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return f"{condition.reason}: {condition.message}"
    if status.reason in ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"):
        return f"{status.reason}: {status.message}"
    return None
