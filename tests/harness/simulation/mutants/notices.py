"""Bugs of what is told to receivers."""

from __future__ import annotations

from datetime import timedelta

from harness.simulation.mutants.planted import Patch, mutant

from llmtrain_api import JobStatus, Notification, NotifyEvent, changed
from llmtrain_operator import plan
from llmtrain_operator.engine import reconcile
from llmtrain_operator.notifications import body, notifier
from llmtrain_operator.plan import events, finish, notices
from llmtrain_operator.types import Plan


@mutant
def nothing_is_put_on_record_to_be_told(patch: Patch) -> None:
    patch.setattr(notices, "happened", lambda *_: [])


@mutant
def a_restart_is_not_told(patch: Patch) -> None:
    real = notices.happened
    patch.setattr(notices, "happened", lambda *two: [e for e in real(*two) if e[0] != "Restarting"])


@mutant
def a_refusal_is_not_told(patch: Patch) -> None:
    real = notices.happened
    patch.setattr(notices, "happened", lambda *two: [e for e in real(*two) if e[0] != "Refused"])


@mutant
def a_refusal_is_told_at_each_look(patch: Patch) -> None:
    real = notices.happened

    def again(old: JobStatus, new: JobStatus) -> list[tuple[NotifyEvent, str]]:
        return real(changed(old, conditions=[]), new)

    patch.setattr(notices, "happened", again)


@mutant
def what_became_of_it_is_not_noted(patch: Patch) -> None:
    patch.setattr(notices, "_settled", lambda _, one, __: one)


@mutant
def a_job_is_deleted_before_it_is_told(patch: Patch) -> None:
    patch.setattr(finish, "pending", lambda _: False)


@mutant
def a_try_has_an_id_of_its_own(patch: Patch) -> None:
    count = iter(range(10**9))
    patch.setattr(body, "notice_id", lambda uid, one: f"{uid}/{one.event}/{next(count)}")


@mutant
def events_of_two_attempts_share_an_id(patch: Patch) -> None:
    patch.setattr(body, "notice_id", lambda uid, one: f"{uid}/{one.event}")


@mutant
def it_is_never_given_up(patch: Patch) -> None:
    patch.setattr(notices, "PATIENCE", timedelta(days=99))
    patch.setattr(notices, "LATEST", timedelta(days=99))


@mutant
def a_no_is_asked_again(patch: Patch) -> None:
    patch.setattr(notices, "_delivery", lambda *_: None)


@mutant
def nobody_hears_that_it_was_given_up(patch: Patch) -> None:
    patch.setattr(events, "_given_up", lambda *_: [])


@mutant
def a_failed_try_is_the_last(patch: Patch) -> None:
    patch.setattr(notifier, "FIRST_PAUSE_SECONDS", 10.0**6)


@mutant
def it_is_told_before_it_is_on_record(patch: Patch) -> None:
    real = reconcile.Reconciler._decide

    async def hasty(self: reconcile.Reconciler, job: reconcile.Job, now: reconcile.datetime) -> Plan:
        decision = await real(self, job, now)
        self._notices.note(changed(job, status=decision.status))
        return decision

    patch.setattr(reconcile.Reconciler, "_decide", hasty)


@mutant
def what_was_told_is_forgotten(patch: Patch) -> None:
    """A record that goes once it is over: what comes again is told as new, under the id before."""
    real = notices._settled

    def forgets(s: notices.Situation, one: Notification, receivers: int) -> Notification:
        found = real(s, one, receivers)
        return one if found.reason is not None else found

    patch.setattr(notices, "_settled", forgets)


@mutant
def notices_are_no_part_of_the_plan(patch: Patch) -> None:
    patch.setattr(plan, "with_notices", lambda _, decision: decision)
