"""How often the gang is started again, and what a user knows better about failures than the operator."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import ApiModel, Rule, RuledModel
from .status import FailureClass

MAX_RULES = 16
MAX_HOLD_SECONDS = 86_400
MATCHES = ("classes", "reasons", "exitCodes", "log")
NOTHING_NAMED = "name at least one of classes, reasons, exitCodes and log, or remove the rule"


class FailureAction(StrEnum):
    """What follows from a failure."""

    RESTART = "Restart"
    RESTART_AVOIDING_NODE = "RestartAvoidingNode"
    FAIL = "Fail"


def _matches_nothing(rule: FailureRule) -> str | None:
    named = rule.classes or rule.reasons or rule.exit_codes or rule.log
    return None if named else NOTHING_NAMED


class FailureRule(RuledModel):
    """What follows from the failures that match all that is named here."""

    action: FailureAction = Field(
        description="Restart starts the gang again, also where the operator would not; it counts against "
        "maxRestarts. RestartAvoidingNode does so too, keeps its pods off the node of the failed rank where "
        "there is other room, and counts against maxInfrastructureRestarts. Fail ends the job."
    )
    classes: list[FailureClass] = Field(
        default_factory=list, max_length=8, description="The failure is of one of these classes."
    )
    reasons: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default_factory=list,
        max_length=16,
        description="The failure has one of these names (docs/failures.md), such as CollectiveTimeout.",
    )
    exit_codes: list[Annotated[int, Field(ge=-64, le=255)]] = Field(
        default_factory=list,
        max_length=16,
        description="The process that failed ended with one of these codes; a negative one is a signal.",
    )
    log: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None, description="The message or the last lines of the log contain this text."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            " || ".join(f"(has(self.{name}) && self.{name}.size() > 0)" for name in MATCHES),
            "",
            NOTHING_NAMED,
            _matches_nothing,
        ),
    )


class RecoverySpec(ApiModel):
    """How often the gang is started again."""

    max_restarts: int = Field(
        default=3,
        ge=0,
        le=1000,
        description="Largest number of restarts after application failures without a newer checkpoint.",
    )
    max_infrastructure_restarts: int = Field(
        default=50,
        ge=0,
        le=1000,
        description="Largest number of restarts after lost, evicted or deleted pods.",
    )
    step_timeout_seconds: int | None = Field(
        default=None,
        ge=5,
        le=86_400,
        description="A rank hangs when one phase of a step, such as its forward pass or a collective "
        "operation, takes longer. Default: ten times the longest so far, at least 300.",
    )
    stage_timeout_seconds: int = Field(
        default=3600,
        ge=60,
        le=604_800,
        description="A rank hangs when its start, compilation, a save or an evaluation takes longer.",
    )
    hold_seconds: int | None = Field(
        default=None,
        ge=10,
        le=MAX_HOLD_SECONDS,
        description="After a failure of ranks the gang's pods stay for so long before the attempt ends, with "
        "all that they hold, so that a person can look around in them: llmtrain debug. Default: not at all.",
    )
    rules: list[FailureRule] = Field(
        default_factory=list,
        max_length=MAX_RULES,
        description="What follows from failures that you know better than the operator does; of the rules "
        "that a failure matches, the first holds.",
    )
