"""Which notifications are due, and what becomes of their records."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from harness.jobs import SETTINGS, T0, UID, manifest, running

from llmtrain_api import (
    Failure,
    FailureClass,
    Job,
    JobStatus,
    Notification,
    NotificationState,
    NotifyEvent,
    Phase,
    changed,
)
from llmtrain_api.runtimes.named import secrets_of
from llmtrain_api.schema.status import MAX_NOTIFICATIONS
from llmtrain_operator.egress import Egress
from llmtrain_operator.manifests.config import inspect_file, job_file
from llmtrain_operator.plan import notices, plan
from llmtrain_operator.plan.events import events_between
from llmtrain_operator.plan.situation import look
from llmtrain_operator.types import Delivery, Observed, Outcome, Plan, PlanSettings

URL = "https://receiver.test/T0KEN"
OPEN = replace(SETTINGS, egress=Egress(allow=("receiver.test",), secrets=("hook",)))
ALL = {"events": [event.value for event in NotifyEvent], "url": URL}
ENDS: dict[str, Any] = {"events": ["Succeeded", "Failed"], "url": URL}
BOOM = Failure(failure_class=FailureClass.USER_ERROR, message="boom")


def job(status: JobStatus, *receivers: dict[str, Any]) -> Job:
    found = Job.model_validate(manifest(notify=list(receivers) or [ALL]))
    meta = changed(found.metadata, uid=UID, namespace="default", resource_version="1")
    return changed(found, metadata=meta, status=status)


def seen(status: JobStatus, *receivers: dict[str, Any], **fields: Any) -> Observed:
    return Observed(job=job(status, *receivers), pods=(), report=None, refusal=None, settings=OPEN, **fields)


def noted(old: JobStatus, new: JobStatus, *receivers: dict[str, Any], **fields: Any) -> list[Notification]:
    """What is on record after a step from one status to the next, some time after `T0`."""
    now = T0 + fields.pop("later", timedelta(0))
    decision = notices.with_notices(look(seen(old, *receivers, **fields), now), Plan(new))
    return decision.status.notifications or []


def succeeded(status: JobStatus) -> JobStatus:
    return changed(status, phase=Phase.SUCCEEDED)


def told(records: list[Notification]) -> list[tuple[int, str, int | None]]:
    return [(one.receiver, one.event.value, one.attempt) for one in records]


def waiting(**fields: Any) -> Notification:
    values = {
        "receiver": 0,
        "event": "Succeeded",
        "attempt": 0,
        "since": T0,
        "state": "Pending",
        "message": "m",
    }
    return Notification.model_validate(values | fields)


def test_what_a_receiver_wants_goes_on_record_with_the_change() -> None:
    before = running()
    assert told(noted(before, succeeded(before), ENDS, ALL)) == [(0, "Succeeded", 0), (1, "Succeeded", 0)]
    [one] = noted(before, succeeded(before), ENDS)
    assert (one.state, one.message, one.since) == (NotificationState.PENDING, "done", T0)
    assert noted(before, before, ALL) == []
    assert told(noted(running(), changed(running(1), phase=Phase.RESTARTING, failure=BOOM), ALL)) == [
        (0, "Restarting", 1)
    ]
    assert noted(running(), changed(running(1), phase=Phase.RESTARTING, failure=BOOM), ENDS) == []


def test_a_job_without_receivers_writes_nothing_more() -> None:
    found = Job.model_validate(manifest())
    quiet = changed(found, metadata=changed(found.metadata, uid=UID, namespace="default"), status=running())
    decision = Plan(succeeded(running()))
    situation = look(replace(seen(running()), job=quiet), T0)
    assert notices.with_notices(situation, decision) is decision


def test_conditions_are_told_when_they_begin_to_hold() -> None:
    lost = notices.changed(
        running(),
        conditions=[
            {
                "type": "ReportingLost",
                "status": "True",
                "reason": "NoReports",
                "message": "silent",
                "lastTransitionTime": T0,
            }
        ],
    )
    assert told(noted(running(), lost)) == [(0, "ReportingLost", 0)]
    assert noted(lost, lost) == []


def test_the_same_again_has_an_id_of_its_own_and_is_bounded() -> None:
    queue: list[Notification] = []
    up, down = running(), changed(running(), phase=Phase.STARTING)
    ids = []
    for _ in range(9):
        queue = noted(changed(down, notifications=queue or None), changed(up, notifications=queue or None))
        [one] = queue
        ids.append(notices.notice_id(UID, one))
        queue = [changed(one, state=NotificationState.DELIVERED, message=None)]
    assert ids[0] == f"{UID}/Running/0"
    assert len(set(ids)) == notices.MAX_TIMES


def test_what_is_still_to_be_told_is_not_told_twice() -> None:
    up, down = running(), changed(running(), phase=Phase.STARTING)
    first = waiting(event="Running", message="first")
    assert noted(changed(down, notifications=[first]), changed(up, notifications=[first])) == [first]


@pytest.mark.parametrize(
    ("outcome", "later", "state"),
    [
        (Outcome.DELIVERED, timedelta(0), "Delivered"),
        (Outcome.REFUSED, timedelta(0), "GivenUp"),
        (Outcome.FAILED, timedelta(minutes=59), "Pending"),
        (Outcome.FAILED, timedelta(minutes=60), "GivenUp"),
        (None, timedelta(minutes=119), "Pending"),
        (None, timedelta(minutes=120), "GivenUp"),
    ],
)
def test_records_are_settled(outcome: Outcome | None, later: timedelta, state: str) -> None:
    status = changed(succeeded(running()), notifications=[waiting()])
    ends = () if outcome is None else (Delivery(0, f"{UID}/Succeeded/0", outcome, 3, "why"),)
    [one] = noted(status, status, ALL, deliveries=ends, later=later)
    assert one.state == state
    assert (one.message is None) == (state != "Pending")
    assert (one.reason is not None) == (state == "GivenUp")


def test_an_operator_that_was_away_for_long_gives_nothing_up_untried() -> None:
    status = changed(succeeded(running()), notifications=[waiting()])
    days = timedelta(days=2)
    [one] = noted(status, status, ALL, later=days, watched_since=T0 + days)
    assert one.state is NotificationState.PENDING


def test_the_end_of_another_notification_settles_nothing() -> None:
    status = changed(succeeded(running()), notifications=[waiting(times=2)])
    others = (
        Delivery(0, f"{UID}/Succeeded/0", Outcome.DELIVERED, 1),
        Delivery(1, f"{UID}/Succeeded/0/2", Outcome.DELIVERED, 1),
    )
    [one] = noted(status, status, ALL, deliveries=others)
    assert one.state is NotificationState.PENDING


def test_a_receiver_that_is_gone_is_given_up() -> None:
    status = changed(succeeded(running()), notifications=[waiting(receiver=2)])
    [one] = noted(status, status, ALL)
    assert (one.state, one.reason) == ("GivenUp", "spec.notify has no such receiver any more")


def test_records_are_bounded_and_those_of_this_attempt_stay() -> None:
    old = [
        waiting(receiver=n % 3, event=event, attempt=attempt, state="Pending" if attempt else "Delivered")
        for attempt in (0, 1)
        for event in NotifyEvent
        for n in range(3)
    ]
    status = changed(running(2), notifications=old[-MAX_NOTIFICATIONS:])
    found = noted(status, succeeded(status), ENDS, ENDS, ENDS)
    assert len(found) == MAX_NOTIFICATIONS
    assert told(found)[-3:] == [(n, "Succeeded", 2) for n in range(3)]
    gone = [one for one in status.notifications or () if one not in found]
    assert {one.state.value for one in gone} == {"Delivered"}, "what is over goes first"


def test_giving_up_is_said_once() -> None:
    before = changed(running(), notifications=[waiting()])
    over = changed(
        running(), notifications=[waiting(state="GivenUp", message=None, reason="it answers with status 404")]
    )
    [event] = events_between(before, over)
    assert event.reason == "NotificationGivenUp"
    assert "Succeeded was not told to spec.notify[0]: it answers with status 404" in event.message
    assert events_between(over, over) == []


# -- what may be asked for --------------------------------------------------------------------------------


def refused(receiver: dict[str, Any], settings: PlanSettings = OPEN) -> str:
    fresh = replace(seen(JobStatus(), receiver), settings=settings)
    accepted = plan(fresh, T0).status.condition("Accepted")
    return accepted.message if accepted is not None and accepted.status == "False" else ""


def test_what_the_installation_allows_is_accepted() -> None:
    assert refused(ENDS) == ""
    assert refused({"urlSecret": {"name": "hook"}, "format": "slack"}) == ""


def test_where_notifications_are_off_a_job_is_told_how_to_have_them_on() -> None:
    for receiver in (ENDS, {"urlSecret": {"name": "hook"}}):
        said = refused(receiver, SETTINGS)
        assert "this installation sends no notifications" in said
        assert "notifications.allow" in said


@pytest.mark.parametrize(
    ("receiver", "field", "fix"),
    [
        ({"url": "https://other.test/T0KEN"}, "spec.notify[0].url", "notifications.allow"),
        ({"url": "http://receiver.test/T0KEN"}, "spec.notify[0].url", "use https"),
        ({"url": "https://a:T0KEN@receiver.test/"}, "spec.notify[0].url", "without a name or a password"),
        ({"urlSecret": {"name": "aws"}}, "spec.notify[0].urlSecret.name", "notifications.secrets"),
        ({"url": URL, "urlSecret": {"name": "hook"}}, "spec.notify[0]", "either url or urlSecret"),
    ],
)
def test_others_are_refused_without_a_word_of_the_url(receiver: dict[str, Any], field: str, fix: str) -> None:
    said = refused(receiver)
    assert field in said
    assert fix in said
    assert "T0KEN" not in said


def test_pods_hear_nothing_of_receivers() -> None:
    found = job(running())
    spec = look(seen(running()), T0).spec
    assert spec is not None
    assert spec.notify
    for told_to_pods in (job_file(found, spec, 0, OPEN), inspect_file(found, spec)):
        assert "T0KEN" not in told_to_pods.model_dump_json()


def test_a_runtime_knows_the_secrets_that_receivers_name() -> None:
    raw = {"notify": [{"url": URL}, {"urlSecret": {"name": "hook"}}]}
    assert list(secrets_of(raw)) == [("notify[1].urlSecret.name", "hook")]


def refused_job(*receivers: Any, **spec: Any) -> Observed:
    found = seen(JobStatus())
    raw = {**found.job.spec, "notify": list(receivers), **spec}
    return replace(found, job=changed(found.job, spec=raw))


@pytest.mark.parametrize(
    "wrong",
    [
        {"hostNetwork": True},  # not allowed by this installation
        {"nodes": "two"},  # no spec at all
        {"training": {"maxSteps": 1, "epochs": 1}},  # against a rule
    ],
)
def test_a_refused_job_is_told_once_to_whom_it_names(wrong: dict[str, Any]) -> None:
    asked = refused_job({"events": ["Refused"], "url": URL}, ENDS, **wrong)
    first = plan(asked, T0)
    accepted = first.status.condition("Accepted")
    assert accepted is not None
    assert accepted.status == "False"
    assert told(first.status.notifications or []) == [(0, "Refused", None)]
    [one] = first.status.notifications or []
    assert one.message == accepted.message[:512]
    assert notices.notice_id(UID, one) == f"{UID}/Refused/"
    again = replace(asked, job=changed(asked.job, status=first.status))
    assert plan(again, T0 + timedelta(seconds=9)).status.notifications == [one]
    heard = replace(again, deliveries=(Delivery(0, f"{UID}/Refused/", Outcome.DELIVERED, 1, ""),))
    [done] = plan(heard, T0 + timedelta(seconds=9)).status.notifications or []
    assert done.state is NotificationState.DELIVERED


@pytest.mark.parametrize(
    "receivers",
    [
        [ALL, {"events": ["Failed"], "url": "no address"}],
        [ALL, ALL, ALL, ALL],
        [{"url": URL, "urlSecret": {"name": "hook"}}],
        [{"events": ["Refused"], "url": "https://elsewhere.test/"}],
        [{"events": ["Refused"], "urlSecret": {"name": "another"}}],
        ["text"],
        [None],
    ],
)
def test_of_a_block_that_is_wrong_or_not_allowed_nobody_is_told(receivers: list[Any]) -> None:
    found = plan(refused_job(*receivers), T0).status
    accepted = found.condition("Accepted")
    assert accepted is not None
    assert accepted.status == "False"
    assert found.notifications is None


def test_who_names_no_events_hears_of_a_refusal() -> None:
    found = plan(refused_job({"url": URL}, hostNetwork=True), T0).status
    assert told(found.notifications or []) == [(0, "Refused", None)]
