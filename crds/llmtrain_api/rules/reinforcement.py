"""Rules of task reinforcement: what it needs, and which layouts its answers are written in."""

from __future__ import annotations

from ..schema.base import Rule
from ..schema.spec import JobSpec
from ..schema.task import Task
from ..schema.training import Packing
from .cel import UNCUT

_REINFORCED = "has(self.task) && self.task == 'reinforcement'"
LEAST_PROMPT = 4
"""Tokens that a prompt needs: what a template puts around a word."""
CUTS = {
    "tensor": "answers are written with whole weights on each rank, and tensor parallelism cuts them",
    "pipeline": "a pipeline's stages cannot write answers token by token",
    "sequence": "an answer is written token by token, and no sequence is there yet that ranks could share",
}
"""Ways to cut a model that are refused, and why."""
SHARDED = (
    "ZeRO stage 3 would gather all weights anew for each token of an answer; use zeroStage 2 or lower, or "
    "leave it out"
)


def _rewarded(spec: JobSpec) -> bool:
    return spec.task is Task.REINFORCEMENT


def _has_rewards(spec: JobSpec) -> str | None:
    if _rewarded(spec) and spec.training.reinforcement is None:
        return "task reinforcement learns from rewards; set training.reinforcement.rewards"
    if not _rewarded(spec) and spec.training.reinforcement is not None:
        return "reinforcement is for task reinforcement; set task: reinforcement, or remove it"
    return None


def _room(spec: JobSpec) -> str | None:
    how, length = spec.training.reinforcement, spec.training.sequence_length
    if how is None or how.max_new_tokens <= length - LEAST_PROMPT:
        return None
    return (
        f"maxNewTokens {how.max_new_tokens} leaves no {LEAST_PROMPT} tokens of sequenceLength {length} to a "
        f"prompt; lower it, or raise training.sequenceLength"
    )


def _whole_models(spec: JobSpec) -> str | None:
    if not _rewarded(spec):
        return None
    for way, why in CUTS.items():
        if (ranks := getattr(spec.parallelism, way)) > 1:
            return f"{way} {ranks} with task reinforcement: {why}; use data parallelism with ZeRO 0 to 2"
    return None


def _whole_weights(spec: JobSpec) -> str | None:
    return SHARDED if _rewarded(spec) and spec.training.zero_stage == 3 else None


def _not_packed(spec: JobSpec) -> str | None:
    if not _rewarded(spec) or spec.training.packing is Packing.CONCAT:
        return None
    return "packing is for documents, and answers are never packed; remove it"


def _not_compiled(spec: JobSpec) -> str | None:
    if not _rewarded(spec) or not spec.training.compile:
        return None
    return "compile with task reinforcement: answers have many lengths, and each is compiled anew; use false"


def _no_page(spec: JobSpec) -> str | None:
    if not _rewarded(spec) or spec.evaluation.explain is None:
        return None
    return (
        "explain reads held-out texts, and task reinforcement holds out prompts without answers; remove it, "
        "or use llmtrain attribute on the export"
    )


RULES: tuple[Rule, ...] = (
    Rule(
        f"({_REINFORCED}) == has(self.training.reinforcement)",
        ".training.reinforcement",
        "task reinforcement needs training.reinforcement with its rewards, and no other task has it; set "
        "both, or remove it",
        _has_rewards,
    ),
    Rule(
        "!has(self.training.reinforcement) || "
        f"self.training.reinforcement.maxNewTokens <= self.training.sequenceLength - {LEAST_PROMPT}",
        ".training.reinforcement.maxNewTokens",
        "maxNewTokens leaves no room in sequenceLength for a prompt; lower it, or raise "
        "training.sequenceLength",
        _room,
    ),
    Rule(
        f"!({_REINFORCED}) || {UNCUT}",
        ".parallelism",
        "task reinforcement writes answers with whole weights on each rank; use data parallelism with ZeRO 0 "
        "to 2",
        _whole_models,
    ),
    Rule(
        f"!({_REINFORCED}) || !has(self.training.zeroStage) || self.training.zeroStage < 3",
        ".training.zeroStage",
        SHARDED,
        _whole_weights,
    ),
    Rule(
        f"!({_REINFORCED}) || self.training.packing == 'concat'",
        ".training.packing",
        "packing is for documents, and answers are never packed; remove it",
        _not_packed,
    ),
    Rule(
        f"!({_REINFORCED}) || !self.training.compile",
        ".training.compile",
        "compile with task reinforcement: answers have many lengths, and each is compiled anew; set it to "
        "false",
        _not_compiled,
    ),
    Rule(
        f"!({_REINFORCED}) || !has(self.evaluation.explain)",
        ".evaluation.explain",
        "explain reads held-out texts, and task reinforcement holds out prompts alone; remove it",
        _no_page,
    ),
)
