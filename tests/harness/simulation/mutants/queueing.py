"""Bugs of the queue: each takes away one guard of jobs that want the same room."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

from harness.simulation.mutants.planted import Patch, mutant, without

from llmtrain_api import Job
from llmtrain_operator import plan
from llmtrain_operator.plan import queue, start_deadline
from llmtrain_operator.scheduling import admit, claims, default
from llmtrain_operator.scheduling.values import Claim
from llmtrain_operator.types import ADMITTED, Admission, Plan


@mutant
def everybody_is_let_in(patch: Patch) -> None:
    async def decide(*_: object) -> Admission:
        return ADMITTED

    patch.setattr(default.OwnQueue, "decide", decide)


@mutant
def what_was_promised_is_given_away(patch: Patch) -> None:
    """Room counts as free until a pod is on it."""
    patch.setattr(Claim, "unplaced", property(lambda _: 0))


@mutant
def who_was_let_in_a_moment_ago_is_forgotten(patch: Patch) -> None:
    honest = default.OwnQueue._look

    def look(self: default.OwnQueue, *words: Any, **named: Any) -> None:
        self._grants.clear()
        honest(self, *words, **named)
        self._grants.clear()

    patch.setattr(default.OwnQueue, "_look", look)


@mutant
def the_first_in_the_queue_is_passed(patch: Patch) -> None:
    patch.setattr(admit._Round, "_before", lambda *_: None)


@mutant
def quotas_are_not_asked(patch: Patch) -> None:
    async def none(*_: object) -> None:
        return None

    patch.setattr(default.OwnQueue, "_read_quotas", none)


@mutant
def unknown_nodes_let_everybody_in(patch: Patch) -> None:
    patch.setattr(admit._Round, "_serial", lambda _: None)


@mutant
def what_is_over_keeps_its_room(patch: Patch) -> None:
    honest = claims.standing

    def standing(job: Job) -> claims.Standing:
        over = job.status.phase is not None and job.status.phase.final
        return claims.Standing.HOLDS if over else honest(job)

    patch.setattr(default, "standing", standing)


@mutant
def who_is_suspended_keeps_its_room(patch: Patch) -> None:
    honest = claims.standing

    def standing(job: Job) -> claims.Standing:
        held = job.status.phase is claims.Phase.SUSPENDED
        return claims.Standing.HOLDS if held else honest(job)

    patch.setattr(default, "standing", standing)


@mutant
def who_goes_on_does_not_queue(patch: Patch) -> None:
    """It is let in by nobody."""

    async def decide(self: default.OwnQueue, job: Job) -> Admission:
        return ADMITTED if job.status.attempt else await honest(self, job)

    honest = default.OwnQueue.decide
    patch.setattr(default.OwnQueue, "decide", decide)


@mutant
def pods_come_while_a_job_queues(patch: Patch) -> None:
    without(patch, queue.stand_in_queue)


@mutant
def a_sidecar_of_what_prepared_stays(patch: Patch) -> None:
    module = import_module("llmtrain_operator.plan.begin")
    patch.setattr(module, "_with_room_cleared", lambda _, waits: waits)


@mutant
def who_found_no_room_asks_at_once(patch: Patch) -> None:
    patch.setattr(queue, "not_before", lambda *_: None)
    patch.setattr(claims, "not_before", lambda *_: None)


@mutant
def part_of_a_gang_waits_without_end(patch: Patch) -> None:
    without(patch, start_deadline.give_up_start)


@mutant
def a_gang_that_is_up_is_taken_down_on_old_news(patch: Patch) -> None:
    honest = start_deadline.give_up_start

    def sure(s: Any) -> Plan | None:
        found = honest(s)
        return found and replace(found, doubts=False)

    patch.setattr(plan, "POLICIES", tuple(sure if p is honest else p for p in plan.POLICIES))
