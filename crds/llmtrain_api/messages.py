"""What operator and trainer tell each other: ``job.json``, reports, the termination message."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from .errors import explain
from .layouts.layout import Layout
from .names import MASTER_PORT
from .schema.base import ApiModel, Time
from .schema.model_facts import FACTS_LIMIT, ModelFacts, ModelShape
from .schema.range_test import RangeTest
from .schema.spec import JobSpec
from .schema.status import (
    MAX_FIGURE,
    Count,
    ExitCode,
    FailureClass,
    Figures,
    Origin,
    PreparationFigures,
    Resolved,
    Results,
)

TERMINATION_LIMIT = 4096
"""Bytes of a termination message that the kubelet keeps."""
MAX_ETA_SECONDS = 10 * 365 * 86400
"""What is estimated to end later has no estimate."""


MAX_CHECKPOINTS = 10
"""Of those that are kept, the newest are told."""
Steps = Annotated[list[Count], Field(max_length=MAX_CHECKPOINTS)]


class JobIdentity(ApiModel):
    """The job that an attempt belongs to."""

    name: str
    namespace: str
    uid: str


class Rendezvous(ApiModel):
    """Where the ranks meet. Scoped to one attempt."""

    master_address: str
    master_port: int = MASTER_PORT
    id: str


class ReportTarget(ApiModel):
    """Where progress goes."""

    url: str
    ca_file: str | None = None
    token_file: str | None = None


class OriginFolder(Origin):
    """The output that a job begins with a step of, and its folder as the worker sees it."""

    folder: str


class JobFile(ApiModel):
    """``job.json``: all that a worker is told, the same for every rank of an attempt.

    ``layout`` was decided by the operator before the first attempt; ranks obey it and decide nothing anew.
    ``shape`` has the model's sizes: whoever starts a job finds them once, and ranks ask nobody else.
    ``model`` is what an inspection found of a model that is not built in; None for a built-in one.
    ``resolved`` tells people why what the job leaves open is as it is, and from which image it runs; nothing
    is decided by it.
    ``output`` and ``dataset`` are folders as the worker sees them; ``dataset`` is None for built-in data and
    for a mixture, whose folders are in ``sources`` by the name of the source, as are those of
    ``evaluation.datasets``.
    ``origin`` is what ``checkpoint.from`` means, as it was found when the job was accepted.
    ``cache`` is the folder of ``dataset.cache``, ``pairs`` the file of ``evaluation.fairness.pairs``,
    ``tasks`` the folder of ``evaluation.tasks``,
    ``penalty_pairs`` that of ``training.fairness.pairs``, ``reward_model`` the folder of the reward of kind
    model.
    ``base`` is the folder of the model that training starts from, where that is on a volume or in the image;
    None for a built-in model, and for one that is fetched into ``scratch``.
    ``scratch`` is private to the pod, writable, and gone with it.
    ``range_test``, of ``llmtrain check --lr-range`` alone, replaces the schedule; no model is kept of it.
    """

    version: Literal[1] = 1
    job: JobIdentity
    attempt: int = Field(ge=0)
    spec: JobSpec
    shape: ModelShape
    model: ModelFacts | None = None
    layout: Layout
    resolved: Resolved | None = None
    rendezvous: Rendezvous
    output: str
    dataset: str | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    origin: OriginFolder | None = None
    cache: str | None = None
    pairs: str | None = None
    penalty_pairs: str | None = None
    tasks: str | None = None
    reward_model: str | None = None
    base: str | None = None
    scratch: str
    report: ReportTarget | None = None
    range_test: RangeTest | None = None

    def ranks_of(self, node_rank: int) -> range:
        """The ranks of a node."""
        local = self.spec.local_world_size
        return range(node_rank * local, (node_rank + 1) * local)


class InspectFile(ApiModel):
    """``job.json`` of the pod that looks at a model: what is known before its shape is.

    ``base`` is the folder of the model, where that is on a volume or in the image; None for others.
    ``scratch`` is private to the pod, writable, and gone with it.
    """

    version: Literal[1] = 1
    job: JobIdentity
    spec: JobSpec
    base: str | None = None
    scratch: str


class Stage(StrEnum):
    """What the trainer is doing."""

    PREPARE = "prepare"
    WAIT = "wait"
    TRAIN = "train"
    EVALUATE = "evaluate"
    EXPORT = "export"


class Straggler(ApiModel):
    """A rank that keeps the others waiting.

    ``times`` is its own time over the median of the other ranks', ``seconds`` its own of a step: both without
    collectives, in which it would wait for others.
    """

    rank: Count
    times: float = Field(ge=1, le=1e6)
    seconds: float = Field(ge=0, le=MAX_FIGURE)


class Held(ApiModel):
    """A node whose ranks have failed, and which ends later, so that a person can look around in it."""

    until: Time
    message: Annotated[str, Field(max_length=1024)]
    cascade: bool = Field(default=False, description="Its ranks only felt the end of others.")


class ProgressUpdate(Figures, PreparationFigures):
    """What may change from one report to the next."""

    stage: Stage | None = None
    eta_seconds: float | None = Field(default=None, ge=0, le=MAX_ETA_SECONDS)
    resumed_step: Count | None = Field(default=None, description="None until known; 0 = from the start.")
    resumed_note: str | None = Field(
        default=None, max_length=256, description="What was not usual about it, such as another layout."
    )
    checkpoint_step: Count | None = Field(default=None, description="Newest committed step.")
    checkpoints: Steps | None = Field(default=None, description="Steps that are kept, newest first.")
    straggler: Straggler | None = Field(default=None, description="None where no rank is slower than others.")
    held: Held | None = Field(default=None, description="None while ranks run.")


class ProgressReport(ProgressUpdate):
    """What rank 0 posts every few seconds: ``POST /v1/report``, answered 200 with an empty object."""

    job_uid: str = Field(max_length=64)
    attempt: Count
    stage: Stage


class Outcome(StrEnum):
    """How a worker ended."""

    COMPLETE = "Complete"
    FAILED = "Failed"
    INTERRUPTED = "Interrupted"
    FENCED = "Fenced"


class WaitsIn(ApiModel):
    """The collective operation in which a rank waits for others."""

    number: Count = Field(description="How many the rank has entered, this one included.")
    operation: Annotated[str, Field(pattern="^[A-Za-z0-9_]{0,64}$")] = ""


class TerminationMessage(ApiModel):
    """What the launcher writes to ``/dev/termination-log`` when its pod ends, at most 4096 bytes."""

    version: Literal[1] = 1
    outcome: Outcome
    failure_class: FailureClass | None = None
    rank: Count | None = Field(default=None, description="Global rank of the root cause, if one is known.")
    exit_code: ExitCode | None = None
    cascade: bool = Field(
        default=False, description="Only the echo of another rank's end, such as 'connection closed by peer'."
    )
    waits_in: WaitsIn | None = Field(
        default=None, description="With an echo of another rank's hang: what this rank is held up in."
    )
    message: Annotated[str, Field(max_length=1024)] = ""
    hint: Annotated[str, Field(max_length=512)] | None = None
    reason: Annotated[str, Field(pattern="^[A-Za-z0-9]{1,64}$")] | None = Field(
        default=None, description="Name of a known failure."
    )
    log_tail: Annotated[str, Field(max_length=2048)] | None = None
    resumed_step: Count | None = None
    checkpoint_step: Count | None = None
    checkpoints: Steps | None = None
    results: Results | None = None
    facts: ModelFacts | None = Field(default=None, description="What an inspection found of the model.")


_DECISIVE = frozenset({"version", "outcome", "failureClass", "cascade"})
"""Without these a termination message says something else than it did."""


def read_termination_message(text: str) -> TerminationMessage | None:
    """What a launcher wrote, without the figures that are out of bounds; None when it is no such message.

    The class and the message of a failure decide what happens to the job, so a step that cannot be does not
    take them along.
    """
    try:
        return TerminationMessage.model_validate_json(text)
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors(include_url=False) if detail["loc"]}
    try:
        found = json.loads(text)
        kept = {key: value for key, value in found.items() if key not in wrong or key in _DECISIVE}
        return TerminationMessage.model_validate_json(json.dumps(kept))
    except (ValueError, AttributeError, RecursionError):
        return None


def read_facts(text: str) -> ModelFacts:
    """What an inspection wrote of a model into its termination message. Nothing of it is taken unless all is
    within its bounds.

    Raises:
        ValueError: there are none, or no inspection of this version writes such facts, with the reason.
    """
    try:
        found = json.loads(text)["facts"]
        facts = ModelFacts.model_validate(found)
    except ValidationError as error:
        raise ValueError("; ".join(explain(error, "facts")[:3])) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError("its termination message has no facts") from None
    size = len(json.dumps(found).encode())
    if size > FACTS_LIMIT:
        raise ValueError(f"its facts take {size} bytes, of at most {FACTS_LIMIT}")
    return facts


def figure(value: float | None) -> float | None:
    """The value as a message may hold it; None for what is not finite or beyond all meaning."""
    return value if value is not None and abs(value) <= MAX_FIGURE else None
