"""The stages of an attempt, in order. A new stage is a row here and a function in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from . import before_training as before
from . import own_stages, training
from .attempt import Attempt, required


class On(Enum):
    """Nodes that a stage runs on."""

    NODE_0 = "node 0"
    OTHERS = "all but node 0"
    ALL = "all nodes"


@dataclass(frozen=True)
class StageRow:
    """One stage.

    Attributes:
        name: for logs.
        on: nodes that it runs on.
        run: does it.
        needs: fields of `Attempt` that must be there.
        leaves: fields of `Attempt` that are there afterwards.
        unless: when it is left out, beside what all are left out for: a job that is complete.
    """

    name: str
    on: On
    run: Callable[[Attempt], None]
    needs: tuple[str, ...] = ()
    leaves: tuple[str, ...] = ()
    unless: Callable[[Attempt], bool] = lambda _: False

    def applies(self, attempt: Attempt) -> bool:
        """Whether it runs in this attempt, on this node."""
        here = self.on is On.ALL or (self.on is On.NODE_0) == (attempt.node_rank == 0)
        return here and attempt.results is None and not self.unless(attempt)


def _not_compiled(attempt: Attempt) -> bool:
    return not attempt.job.spec.training.compile


def _builtin(attempt: Attempt) -> bool:
    return attempt.job.spec.model.builtin is not None


def _no_fetch(attempt: Attempt) -> bool:
    job = attempt.job
    return job.spec.model.builtin is not None or job.base is not None


def _no_trackers(attempt: Attempt) -> bool:
    return not attempt.job.spec.telemetry.trackers


def _no_tasks(attempt: Attempt) -> bool:
    return attempt.job.spec.evaluation.tasks is None


def _no_origin(attempt: Attempt) -> bool:
    return attempt.job.origin is None


def _one_node(attempt: Attempt) -> bool:
    return attempt.job.spec.nodes == 1


STAGES = (
    StageRow("claim", On.NODE_0, before.claim, leaves=("claimed",)),
    StageRow("fence", On.NODE_0, before.raise_fence, ("claimed",), ("fence",)),
    StageRow("trackers", On.NODE_0, before.check_trackers, unless=_no_trackers),
    StageRow("tasks", On.NODE_0, before.check_tasks, unless=_no_tasks),
    StageRow("compiler", On.NODE_0, before.check_compiler, unless=_not_compiled),
    StageRow("origin", On.NODE_0, before.look_at_origin, ("claimed",), unless=_no_origin),
    StageRow("fetch", On.NODE_0, before.fetch_model, ("claimed",), unless=_no_fetch),
    StageRow("prepare", On.NODE_0, before.prepare, ("claimed", "fence"), ("data",)),
    StageRow("start", On.NODE_0, before.publish_start, ("claimed", "fence", "data"), ("start",)),
    StageRow("join", On.OTHERS, before.join, leaves=("claimed", "start")),
    StageRow("fetch", On.OTHERS, before.fetch_model, ("claimed",), unless=_no_fetch),
    StageRow("look again", On.ALL, before.look_again, ("start",), unless=_builtin),
    StageRow("gather", On.ALL, before.gather, ("claimed",), unless=_one_node),
    StageRow("resolve", On.ALL, before.resolve_master),
    StageRow("track", On.NODE_0, training.track, ("start",), unless=_no_trackers),
    StageRow("train", On.ALL, training.train, ("start",)),
    StageRow("export", On.NODE_0, training.export, ("claimed", "start"), ("results",)),
)


OWN_PROGRAM = (
    StageRow("claim", On.NODE_0, before.claim, leaves=("claimed",)),
    StageRow("fence", On.NODE_0, before.raise_fence, ("claimed",), ("fence",)),
    StageRow("start", On.NODE_0, own_stages.publish_start, ("claimed", "fence"), ("start",)),
    StageRow("join", On.OTHERS, before.join, leaves=("claimed", "start")),
    StageRow("gather", On.ALL, before.gather, ("claimed",), unless=_one_node),
    StageRow("resolve", On.ALL, before.resolve_master),
    StageRow("run", On.ALL, own_stages.run_program, ("start",)),
    StageRow("finish", On.NODE_0, own_stages.finish, ("claimed", "start"), ("results",)),
)
"""Those of a job with an entrypoint."""
_BEFORE_TRACKING = [stage.name for stage in STAGES].index("track")
MEASURE = (
    *STAGES[:_BEFORE_TRACKING],
    StageRow("measure", On.NODE_0, training.measure, ("claimed", "start"), ("results",)),
)
"""Those of a job that trains nothing: evaluation.only."""
RANGE_TEST = (
    *STAGES[:-1],
    StageRow("finish", On.NODE_0, own_stages.finish, ("claimed", "start"), ("results",)),
)
"""Those of a test of learning rates: what it trains is nobody's model."""
ONLY_PREPARE = STAGES[: [stage.name for stage in STAGES].index("prepare") + 1]
"""Those of a pod that runs before there is a gang."""


def stages_of(attempt: Attempt) -> tuple[StageRow, ...]:
    """The table that an attempt walks."""
    if attempt.job.spec.entrypoint is not None:
        return OWN_PROGRAM
    if attempt.only_prepare:
        return ONLY_PREPARE
    if attempt.job.range_test is not None:
        return RANGE_TEST
    return MEASURE if attempt.job.spec.evaluation.only else STAGES


def walk(attempt: Attempt, stages: tuple[StageRow, ...] = STAGES) -> Iterator[StageRow]:
    """Run the stages of this node in order; each is yielded before it runs."""
    for stage in stages:
        if stage.applies(attempt):
            yield stage
            for name in stage.needs:
                required(getattr(attempt, name), name)
            stage.run(attempt)
            for name in stage.leaves:
                required(getattr(attempt, name), name)
