"""Bugs of jobs that are suspended: each takes away one guard."""

from __future__ import annotations

from typing import Any

from harness.simulation.mutants.planted import Patch, mutant, without

from llmtrain_api import Charge, JobStatus, Phase, changed
from llmtrain_operator import plan
from llmtrain_operator.plan import suspend
from llmtrain_operator.types import DeletePod, Plan


@mutant
def a_suspended_job_begins(patch: Patch) -> None:
    without(patch, suspend.hold)


@mutant
def a_suspended_job_runs_on(patch: Patch) -> None:
    without(patch, suspend.stop)


@mutant
def ranks_are_stopped_before_that_is_on_record(patch: Patch) -> None:
    honest = suspend.stop

    def stop(s: Any) -> Plan | None:
        found = honest(s)
        if found is None or s.this_attempt.stopping_at is not None:
            return found
        grace = s.seen.settings.grace_seconds
        return Plan(s.status, tuple(DeletePod(p.name, p.uid, grace) for p in s.current.values()), 1.0)

    patch.setattr(plan, "POLICIES", tuple(stop if p is honest else p for p in plan.POLICIES))


@mutant
def ranks_have_no_time_to_save(patch: Patch) -> None:
    honest = suspend.removals
    patch.setattr(suspend, "removals", lambda s, pods, _: honest(s, pods))


@mutant
def a_suspension_is_charged(patch: Patch) -> None:
    honest = suspend.close_attempt

    def close(s: Any, **words: Any) -> JobStatus:
        return honest(s, **(words | {"charged_to": Charge.INFRASTRUCTURE}))

    patch.setattr(suspend, "close_attempt", close)


@mutant
def it_goes_on_under_the_same_number(patch: Patch) -> None:
    def next_attempt(_: Any, closed: JobStatus, *, phase: Phase, **__: Any) -> JobStatus:
        again = changed(closed.attempts[-1], ended_at=None, stopping_at=None, reason=None, created_at=None)
        return changed(closed, phase=phase, attempts=[*closed.attempts[:-1], again])

    patch.setattr(suspend, "next_attempt", next_attempt)


@mutant
def a_failure_is_hidden_by_a_suspension(patch: Patch) -> None:
    honest = suspend.stop

    def stop(s: Any) -> Plan | None:
        begins = s.attempt is not None and s.this_attempt.stopping_at is None and suspend.suspended(s)
        return Plan(suspend._stopping(s)) if begins else honest(s)

    patch.setattr(plan, "POLICIES", tuple(stop if p is honest else p for p in plan.POLICIES))


@mutant
def suspended_while_pods_are_still_there(patch: Patch) -> None:
    honest = suspend.stop

    def stop(s: Any) -> Plan | None:
        ends = s.attempt is not None and s.this_attempt.stopping_at is not None
        return Plan(suspend._stopped(s, [])) if ends else honest(s)

    patch.setattr(plan, "POLICIES", tuple(stop if p is honest else p for p in plan.POLICIES))


@mutant
def what_prepares_outlives_a_suspension(patch: Patch) -> None:
    honest = suspend._left
    patch.setattr(suspend, "_left", lambda s: () if s.attempt is None else honest(s))


@mutant
def what_ranks_say_at_their_end_is_lost(patch: Patch) -> None:
    patch.setattr(suspend, "with_checkpoint", lambda _, status, __: status)
