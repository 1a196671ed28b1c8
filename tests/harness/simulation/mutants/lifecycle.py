"""Bugs of jobs that are suspended, limited or tried again: each takes away one guard."""

from __future__ import annotations

from typing import Any

from harness.simulation.mutants.planted import Patch, mutant, without

from llmtrain_api import Charge, JobStatus, Phase, Usage, changed
from llmtrain_operator import plan
from llmtrain_operator.plan import attempts, finish, limits, rerun, stopping, suspend
from llmtrain_operator.plan.removal import removals
from llmtrain_operator.plan.usage import running_seconds
from llmtrain_operator.types import DeletePod, Plan


def instead(patch: Patch, policy: Any, other: Any) -> None:
    """`plan` with another policy in the place of one."""
    patch.setattr(plan, "POLICIES", tuple(other if p is policy else p for p in plan.POLICIES))


# -- suspended --------------------------------------------------------------------------------------------


@mutant
def a_suspended_job_begins(patch: Patch) -> None:
    without(patch, suspend.hold)


@mutant
def a_suspended_job_runs_on(patch: Patch) -> None:
    without(patch, stopping.stop)


@mutant
def ranks_are_stopped_before_that_is_on_record(patch: Patch) -> None:
    honest = stopping.stop

    def hasty(s: Any) -> Plan | None:
        found = honest(s)
        if found is None or s.this_attempt.stopping_at is not None:
            return found
        grace = s.seen.settings.grace_seconds
        return Plan(s.status, tuple(DeletePod(p.name, p.uid, grace) for p in s.current.values()), 1.0)

    instead(patch, honest, hasty)


@mutant
def ranks_have_no_time_to_save(patch: Patch) -> None:
    patch.setattr(
        stopping, "asked_to_go", lambda s, status, left: Plan(status, tuple(removals(s, left)), 15.0)
    )


@mutant
def a_suspension_is_charged(patch: Patch) -> None:
    honest = stopping.close_attempt

    def close(s: Any, **words: Any) -> JobStatus:
        return honest(s, **(words | {"charged_to": Charge.INFRASTRUCTURE}))

    patch.setattr(stopping, "close_attempt", close)


@mutant
def it_goes_on_under_the_same_number(patch: Patch) -> None:
    def next_attempt(_: Any, closed: JobStatus, *, phase: Phase, **__: Any) -> JobStatus:
        again = changed(closed.attempts[-1], ended_at=None, stopping_at=None, reason=None, created_at=None)
        return changed(closed, phase=phase, attempts=[*closed.attempts[:-1], again])

    patch.setattr(suspend, "next_attempt", next_attempt)


@mutant
def a_failure_is_hidden_by_a_suspension(patch: Patch) -> None:
    honest = stopping.stop

    def hiding(s: Any) -> Plan | None:
        begins = s.attempt is not None and s.this_attempt.stopping_at is None and suspend.suspended(s)
        return Plan(stopping._stopping(s, stopping.EndReason.SUSPENDED)) if begins else honest(s)

    instead(patch, honest, hiding)


@mutant
def suspended_while_pods_are_still_there(patch: Patch) -> None:
    honest = stopping.stop

    def early(s: Any) -> Plan | None:
        ends = s.attempt is not None and s.this_attempt.stopping_at is not None
        return Plan(stopping._suspended(s, [])) if ends else honest(s)

    instead(patch, honest, early)


@mutant
def what_prepares_outlives_a_suspension(patch: Patch) -> None:
    patch.setattr(suspend, "_at_work", lambda _: ())


@mutant
def what_ranks_say_at_their_end_is_lost(patch: Patch) -> None:
    patch.setattr(stopping, "with_checkpoint", lambda _, status, __: status)


# -- limits -----------------------------------------------------------------------------------------------


@mutant
def no_limit_is_ever_reached(patch: Patch) -> None:
    patch.setattr(stopping, "exceeded", lambda _: None)


@mutant
def nobody_looks_when_a_limit_is_due(patch: Patch) -> None:
    patch.setattr(plan, "in_time", lambda _, decision: decision)


@mutant
def only_the_current_attempt_is_counted(patch: Patch) -> None:
    def used(s: Any) -> Usage:
        seconds = running_seconds(s)
        return Usage(running_seconds=seconds, gpu_seconds=seconds * limits.gpus(s))

    patch.setattr(limits, "used", used)


@mutant
def a_suspension_counts_as_running(patch: Patch) -> None:
    honest = limits.used

    def used(s: Any) -> Usage:
        since = s.status.attempts[0].running_at if s.status.attempts else None
        return changed(honest(s), running_seconds=int((s.now - since).total_seconds()) if since else 0)

    patch.setattr(limits, "used", used)


@mutant
def a_limit_is_charged(patch: Patch) -> None:
    patch.setattr(attempts, "LIMITS", frozenset())


@mutant
def a_gang_may_take_for_ever_to_start(patch: Patch) -> None:
    without(patch, limits.start_in_time)


@mutant
def a_gang_that_runs_has_not_started(patch: Patch) -> None:
    honest = limits._seconds_to_start

    def left(s: Any) -> float | None:
        known = s.spec is not None and s.spec.start_timeout_seconds is not None and s.attempt is not None
        if known and s.this_attempt.running_at is not None:
            seconds: float = (
                s.spec.start_timeout_seconds - (s.now - s.this_attempt.started_at).total_seconds()
            )
            return seconds
        return honest(s)

    patch.setattr(limits, "_seconds_to_start", left)


# -- the object's own end, and another try ----------------------------------------------------------------


@mutant
def a_job_goes_before_its_time(patch: Patch) -> None:
    honest = finish._seconds_to_live
    patch.setattr(finish, "_seconds_to_live", lambda s: None if honest(s) is None else 0.0)


@mutant
def a_job_never_goes(patch: Patch) -> None:
    patch.setattr(finish, "_seconds_to_live", lambda _: None)


@mutant
def a_rerun_is_not_taken_note_of(patch: Patch) -> None:
    honest = rerun.run_again

    def again(s: Any) -> Plan | None:
        found = honest(s)
        return None if found is None else Plan(changed(found.status, rerun=s.status.rerun))

    instead(patch, honest, again)


@mutant
def a_rerun_waits_for_the_next_failure(patch: Patch) -> None:
    honest = rerun.run_again
    instead(patch, honest, lambda s: honest(s) if s.status.phase and s.status.phase.final else None)


@mutant
def a_rerun_keeps_what_counted_before(patch: Patch) -> None:
    patch.setattr(rerun, "Restarts", lambda: rerun_restarts(total=1, application=1, since_checkpoint=1))


rerun_restarts = rerun.Restarts


@mutant
def a_rerun_takes_what_failed_as_prepared(patch: Patch) -> None:
    patch.setattr(rerun, "ANOTHER_SPEC", 1)
