"""From the API's JSON to `types.Pod`: only the fields that decisions rest on are decoded."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog

from llmtrain_api import SetupStage
from llmtrain_api.names import GROUP, KIND, LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_RANK, LABEL_STAGE

from ..manifests.pod import CONTAINER
from ..types import Pod, PodPhase, Termination

PLACE = re.compile(r"-(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})")
SETUP_PLACE = re.compile(rf"-({'|'.join(stage.value for stage in SetupStage)})-(0|[1-9][0-9]{{0,8}})")


class _Struct(msgspec.Struct, rename="camel", frozen=True):
    pass


class _Owner(_Struct, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class _Meta(_Struct, frozen=True):
    name: str
    namespace: str
    uid: str
    resource_version: str
    labels: dict[str, str] = {}
    owner_references: list[_Owner] = []
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
    last_transition_time: datetime | None = None


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


log = structlog.get_logger()
_decoder = msgspec.json.Decoder(_RawPod)


def decode_pod(raw: bytes) -> Pod:
    """A worker pod: one that a job controls, by its name a rank of an attempt, or what runs before the gang.

    Raises:
        ValueError: not a pod, or none of ours, whatever its labels say.
    """
    pod = _decoder.decode(raw)
    owner = _controller(pod.metadata)
    place = _place(pod.metadata, owner)
    container = _trainer(pod.status)
    ended = _termination(container.state.terminated)
    whole = PodPhase(pod.status.phase)
    phase = whole if ended is None else _phase_of(ended)
    return Pod(
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        resource_version=int(pod.metadata.resource_version),
        job=owner.name,
        job_uid=owner.uid,
        attempt=place.attempt,
        rank=place.rank,
        stage=place.stage,
        phase=phase,
        node=pod.spec.node_name,
        reason=pod.status.reason,
        message=pod.status.message,
        hold=_hold(pod.status, container),
        disruption=_disruption(pod.status),
        deletion_deadline=pod.metadata.deletion_timestamp,
        termination=ended,
        ready=_ready(pod.status),
        node_silent=_node_silent(pod.status),
        others_run=ended is not None and whole not in (PodPhase.SUCCEEDED, PodPhase.FAILED),
        scheduled_at=_scheduled_at(pod.status),
    )


def decode_rank(raw: bytes) -> Pod | None:
    """A worker pod; None, and a line in the log, for one that only carries labels of ours."""
    try:
        return decode_pod(raw)
    except ValueError as error:
        log.warning("strange-pod-ignored", reason=str(error))
        return None


def _controller(meta: _Meta) -> _Owner:
    """The job that made it. Labels are for whoever may edit a pod, an owner is only of its own namespace."""
    for owner in meta.owner_references:
        group = owner.api_version.partition("/")[0]
        if owner.controller and (group, owner.kind) == (GROUP, KIND) and owner.uid:
            return owner
    raise ValueError(f"pod {meta.namespace}/{meta.name} is controlled by no {KIND}")


class Place(NamedTuple):
    """Which of a job's pods it is.

    Attributes:
        attempt: or the number of a pod that runs before there is a gang.
        stage: what that pod does; None = a rank.
    """

    attempt: int
    rank: int
    stage: SetupStage | None


def place_of(name: str, job: str) -> Place | None:
    """What the name of a pod says; None where no pod of that job has such a name."""
    if not name.startswith(job):
        return None
    rest = name.removeprefix(job)
    if rank := PLACE.fullmatch(rest):
        return Place(int(rank[1]), int(rank[2]), None)
    before = SETUP_PLACE.fullmatch(rest)
    return Place(int(before[2]), 0, SetupStage(before[1])) if before else None


def _place(meta: _Meta, owner: _Owner) -> Place:
    """From the name; labels, where they are, must agree."""
    place = place_of(meta.name, owner.name)
    if place is None:
        raise ValueError(f"pod {meta.namespace}/{meta.name} has no name of a pod of job {owner.name}")
    expected = {LABEL_JOB: owner.name, LABEL_JOB_UID: owner.uid}
    if place.stage is None:
        expected |= {LABEL_ATTEMPT: str(place.attempt), LABEL_RANK: str(place.rank)}
    else:
        expected |= {LABEL_STAGE: place.stage.value}
    for label, value in expected.items():
        if meta.labels.get(label, value) != value:
            raise ValueError(
                f"label {label} of pod {meta.namespace}/{meta.name} is {meta.labels[label]!r}, "
                f"its owner and name say {value!r}"
            )
    return place


def _trainer(status: _Status) -> _ContainerStatus:
    """By name: the kubelet sorts statuses by name, and a mesh or an agent may put containers beside ours."""
    found = (container for container in status.container_statuses if container.name == CONTAINER)
    return next(found, _ContainerStatus())


def _phase_of(ended: Termination) -> PodPhase:
    """What the end of the trainer makes of its pod, whatever the other containers do."""
    return PodPhase.FAILED if ended.exit_code else PodPhase.SUCCEEDED


def _ready(status: _Status) -> bool:
    return all(c.status == "True" for c in status.conditions if c.type == "Ready")


def _node_silent(status: _Status) -> bool:
    """Whether the control plane gave up on the node: it makes pods unready and gives no reason, while a
    kubelet that is there always gives one (ContainersNotReady, PodCompleted, ...)."""
    if status.reason == "NodeLost":
        return True
    unready = (c for c in status.conditions if c.type == "Ready" and c.status != "True")
    return any(c.reason in ("", "NodeNotReady", "NodeStatusUnknown", "NodeLost") for c in unready)


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


def _scheduled_at(status: _Status) -> datetime | None:
    scheduled = (c for c in status.conditions if c.type == "PodScheduled" and c.status == "True")
    return next((condition.last_transition_time for condition in scheduled), None)


def _disruption(status: _Status) -> str | None:
    """Who takes the pod away, if anybody does."""
    for condition in status.conditions:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return f"{condition.reason}: {condition.message}"
    if status.reason in ("Evicted", "NodeLost", "NodeShutdown", "Preempting", "Shutdown", "Terminated"):
        return f"{status.reason}: {status.message}"
    return None
