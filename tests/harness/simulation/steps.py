"""What scenarios are told with."""

from __future__ import annotations

from dataclasses import dataclass

from harness.simulation.podview import label
from harness.simulation.world import World

from llmtrain_api import FailureClass, Outcome, TerminationMessage
from llmtrain_api.names import LABEL_RANK
from llmtrain_operator.kube.api import Object

BOOM = TerminationMessage(outcome=Outcome.FAILED, failure_class=FailureClass.USER_ERROR, message="boom")
CASCADE = TerminationMessage(outcome=Outcome.FAILED, cascade=True, message="connection closed by peer")
HANG = TerminationMessage(
    outcome=Outcome.FAILED, failure_class=FailureClass.HANG, message="rank 1 has done no step for 600 s"
)
CONFIG = TerminationMessage(
    outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message="no such file"
)


@dataclass(frozen=True)
class Expected:
    """How a scenario ends, however often the operator died on the way.

    Attributes:
        pods: how many are created; None = any number: what found no room is given back and asked for again.
        blind: a pod comes and goes before its gang is on record as created; an operator that starts after
            that cannot know, and creates it.
        setups: pods that ran before the gang.
        every: where only some fates strike, they strike every so manieth write: many jobs do the same.
    """

    phase: str
    restarts: int = 0
    pods: int | None = 2
    blind: bool = False
    setups: int = 0
    every: int = 1


def rank(world: World, number: int) -> Object:
    return next(p for p in world.gang() if label(p, LABEL_RANK) == str(number))


def created(world: World, name: str) -> Object:
    """Wait for a pod to be there, with no kubelet at work."""
    for _ in range(120):
        found = [p for p in world.pods() if p["metadata"]["name"] == name]
        if found:
            return found[0]
        world.start_operator()
        world.run(1.0)
    raise AssertionError(f"{name} was never created")
