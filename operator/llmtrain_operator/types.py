"""All that `plan` sees and may ask. Plain frozen values, no behaviour that touches the world."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from llmtrain_api import Job, JobStatus, ProgressReport, RuntimeOnRecord, SetupStage, WorkerDefaults
from llmtrain_api.schema.range_test import RangeTest
from llmtrain_api.schema.status import Placement

from .egress import Egress

Manifest = dict[str, Any]


class Allowed(StrEnum):
    """What a job may ask for only where the installation allows it, by the field of the spec."""

    HOST_NETWORK = "hostNetwork"


class Provider(StrEnum):
    """Who helps to start gangs: Kueue lets in those of a job with a queue; each of the others has a PodGroup
    for every gang, and Volcano queues as well."""

    DEFAULT = "default"
    KUEUE = "kueue"
    KUBERNETES = "kubernetes"
    VOLCANO = "volcano"
    COSCHEDULING = "coscheduling"

    @property
    def has_queues(self) -> bool:
        """Whether a job may name one."""
        return self in (Provider.KUEUE, Provider.VOLCANO)


class PodPhase(StrEnum):
    """``status.phase`` of a pod."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Termination:
    """How the trainer container ended.

    Attributes:
        message: what it wrote to its termination log, or the tail of its log.
    """

    exit_code: int
    reason: str
    message: str
    finished_at: datetime | None


class JobRef(NamedTuple):
    """Which job: its UID alone may be written into an owner reference by anybody, in any namespace."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Pod:
    """The few fields of a worker pod that decisions rest on.

    Which job, attempt and rank it is follows from its controller and its name, never from its labels alone.

    Attributes:
        attempt: of a pod that runs before there is a gang: its number.
        rank: node rank, 0 to nodes - 1.
        stage: what it does before there is a gang; None = it is a rank.
        phase: of the trainer's container, once that has ended: other containers may run on.
        ready: whether it counts as ready: its ``Ready`` condition is not False.
        node_silent: whether its node stopped answering: the control plane, not the kubelet, made it unready.
        scheduled_at: when it got its node.
        others_run: whether containers beside the trainer run on after it has ended.
        hold: why it does not run yet: (reason, message) of the scheduler or the kubelet.
        disruption: message of a true DisruptionTarget condition (preempted, drained, node gone).
        deletion_deadline: ``deletionTimestamp``: when its grace time ends; None when nobody deleted it.
    """

    namespace: str
    name: str
    uid: str
    resource_version: int
    job: str
    job_uid: str
    attempt: int
    rank: int
    phase: PodPhase
    node: str | None = None
    reason: str = ""
    message: str = ""
    hold: tuple[str, str] | None = None
    disruption: str | None = None
    deletion_deadline: datetime | None = None
    termination: Termination | None = None
    ready: bool = True
    stage: SetupStage | None = None
    node_silent: bool = False
    others_run: bool = False
    scheduled_at: datetime | None = None

    @property
    def owner(self) -> JobRef:
        """The job that controls it, which can only be one of its own namespace."""
        return JobRef(self.namespace, self.job, self.job_uid)

    @property
    def terminal(self) -> bool:
        """Whether its trainer has ended for good."""
        return self.phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)


@dataclass(frozen=True, slots=True)
class LastReport:
    """The newest report of an attempt and when it came in."""

    report: ProgressReport
    received: datetime


class RefusalKind(StrEnum):
    """Why the API server did not take a write of ours."""

    NAME_CONFLICT = "NameConflict"
    QUOTA = "QuotaExceeded"
    FORBIDDEN = "Forbidden"
    UNAVAILABLE = "ApiUnavailable"
    DELETION = "DeletionRefused"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to the last write of this job's children, when it was a no.

    Attributes:
        hint: what would help, where that is known.
        repeated: whether the answer before was a no of the same kind.
    """

    kind: RefusalKind
    message: str
    hint: str | None = None
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """The queue's answer to a gang that wants to start.

    Attributes:
        admitted: whether it starts now; its room is kept for it until that is on record.
        reason: why it waits, as one word for programs; empty = nothing is known yet.
        message: why it waits, with numbers.
        position: its place in the queue, the first is 1.
        estimated_start: when it may start, where running jobs say when they end.
        retry_after: in how many seconds it is worth asking again; None = it is woken.
        placement: what its pods need where another scheduler let it in.
        nodes: pods of a gang that may have fewer than it wants, where the message says why; None = all.
    """

    admitted: bool
    reason: str = ""
    message: str = ""
    position: int | None = None
    estimated_start: datetime | None = None
    retry_after: float | None = None
    placement: Placement | None = None
    nodes: int | None = None


ADMITTED = Admission(True)


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What the installation says, for every job.

    Attributes:
        file_outputs: whether a ``file://`` output outlives the pod that writes it, as on a laptop.
        unreachable_seconds: how long a pod stays on a node that does not answer before it is evicted.
        lost_node_seconds: how long after its grace time a pod may still be there; then it goes by force.
        network_policy: whether each job gets one: only its own pods reach its ranks.
        metrics_namespace: labels of the namespaces that may scrape the ranks; none = nobody may.
        scratch_size: most that a rank may write to its node's disk; empty = no limit.
        scratch_request: how much of it the scheduler sets aside; empty = none, and only scratch is limited.
        worker_defaults: what each worker pod says of its place, under what its job says.
        start_seconds: how long a gang may have pods without a node, or that cannot be made, before it gives
            back what it holds and queues again; None = for ever.
        grow_seconds: how long a gang with fewer nodes than its job wants runs at least before it is ended to
            have more.
        allow: fields of `Allowed` that jobs may use.
        gpu_hour_price: what an hour of one GPU costs; None = nobody has said.
        currency: of that price.
        provider: who helps to start gangs.
        egress: who may be told what becomes of jobs.
        range_test: what ``llmtrain check --lr-range`` tests; None everywhere else.
        traces: whether somebody collects traces, which ranks may join.
        run_as_user: of worker pods; None = the namespace gives them one.
    """

    trainer_image: str
    report_url: str | None
    ca_certificate: str
    image_pull_policy: str = "IfNotPresent"
    grace_seconds: int = 30
    evidence_seconds: float = 5.0
    file_outputs: bool = False
    unreachable_seconds: int = 30
    lost_node_seconds: int = 60
    network_policy: bool = False
    metrics_namespace: tuple[tuple[str, str], ...] = ()
    scratch_size: str = ""
    scratch_request: str = ""
    worker_defaults: WorkerDefaults = field(default_factory=WorkerDefaults)
    start_seconds: float | None = None
    grow_seconds: float = 600.0
    allow: tuple[str, ...] = ()
    gpu_hour_price: float | None = None
    currency: str = ""
    provider: Provider = Provider.DEFAULT
    egress: Egress = field(default_factory=Egress)
    range_test: RangeTest | None = None
    traces: bool = False
    run_as_user: int | None = 1000


class Outcome(StrEnum):
    """What became of the tries to deliver a notification."""

    DELIVERED = "delivered"
    FAILED = "failed"
    REFUSED = "refused"


class Delivery(NamedTuple):
    """How far a notification on record has come in this process.

    Attributes:
        receiver: its place in ``spec.notify``.
        id: of the notification, the same for all of its receivers.
        outcome: `FAILED` is tried again; the others are the end.
        reason: why it has not arrived, without a word of its URL.
    """

    receiver: int
    id: str
    outcome: Outcome
    tries: int
    reason: str = ""


class PodWord(NamedTuple):
    """What an Event says of a pod that does not start: of which, and the Event's reason and message."""

    pod_uid: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class SeenRuntime:
    """The runtime that a job asks for, as it is now.

    Attributes:
        found: what the job would keep of it; None = it cannot begin with it.
        reason: why not, as one word for programs; empty while nothing is known yet.
        message: why not, and what helps.
    """

    found: RuntimeOnRecord | None = None
    reason: str = ""
    message: str = ""

    @property
    def known(self) -> bool:
        """Whether it is known that it is there, or that it is not."""
        return self.found is not None or self.reason != ""


@dataclass(frozen=True, slots=True)
class Observed:
    """One job and all that is known of it at one moment.

    Attributes:
        lost: ranks of the current attempt whose pod was seen once and is gone from the API; before the first
            attempt {0} where that holds of the pod on record.
        interrupted_attempt: the attempt that a person stopped together with everything that ran it.
        watched_since: since when this process takes reports; None = not known.
        admission: the queue's answer; None = it was not asked yet.
        word: why a pod does not start, where only an Event tells it.
        runtime: the one that the job asks for; None = none.
        other: the job that ``checkpoint.from`` names, as it is now; None = there is none.
        reclaimed: why the queue wants the room of the gang back; empty = it does not.
        deliveries: what became of notifications that are on record as pending.
    """

    job: Job
    pods: tuple[Pod, ...]
    report: LastReport | None
    refusal: Refusal | None
    settings: PlanSettings
    lost: frozenset[int] = frozenset()
    interrupted_attempt: int | None = None
    watched_since: datetime | None = None
    admission: Admission | None = ADMITTED
    word: PodWord | None = None
    runtime: SeenRuntime | None = None
    other: Job | None = None
    reclaimed: str = ""
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create one rank. It exists already = done, if it is owned by this job."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class CreateChild:
    """Create what pods need before they start. It exists already = done, if it is owned by this job.

    Attributes:
        resource: a key of `kube.api.RESOURCES`.
    """

    resource: str
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class DeleteChild:
    """Delete a child that is no pod. Only one that is owned by this job; it is gone already = done."""

    resource: str
    name: str


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete one pod, and only the one with this UID."""

    name: str
    uid: str
    grace_seconds: int


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the job itself, and only the one with this UID; its children go with it."""

    uid: str


Action = CreateChild | DeleteChild | CreatePod | DeletePod | DeleteJob


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now.

    ``status`` is written first, and ``actions`` follow only when that write was taken: so whatever must be on
    record before the world changes is put into a plan's status, and the change into the plan after it.

    Attributes:
        asks: whether nothing can be decided before the queue has answered.
        doubts: whether the API server itself is asked for the job's pods first: if any of them is news, this
            plan is void. For what would undo a gang that may be up.
    """

    status: JobStatus
    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
    asks: bool = False
    doubts: bool = False
