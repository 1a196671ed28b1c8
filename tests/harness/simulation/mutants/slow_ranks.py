"""Bugs of what is told of slow ranks."""

from __future__ import annotations

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_operator.plan import attempts, status


@mutant
def a_slow_rank_stays_slow(patch: Patch) -> None:
    real = status.with_straggler

    def forgets(s: status.Situation, told: status.JobStatus) -> status.JobStatus:
        report = s.seen.report
        return real(s, told) if report is not None and report.report.straggler is not None else told

    patch.setattr(status, "with_straggler", forgets)


@mutant
def the_next_attempt_keeps_its_straggler(patch: Patch) -> None:
    patch.setattr(attempts, "OF_AN_ATTEMPT", ("ReportingLost",))


@mutant
def a_slow_rank_is_not_told(patch: Patch) -> None:
    patch.setattr(status, "with_straggler", lambda _, told: told)
