"""What the page is told, and whom it believes: no sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness.jobs import T0, job, running

from llmtrain.values import Event
from llmtrain.web.access import REVIEWS_AT_ONCE, OneToken, Reviewed, User, access_review, bearer, holder
from llmtrain.web.board import MAX_PENDING, Board, Subscription
from llmtrain.web.curves import Watched, curve_of, merged, phases_of, thinned
from llmtrain.web.views import actions_of, compared, page_of, row_of
from llmtrain_api import (
    Condition,
    Failure,
    FailureClass,
    JobStatus,
    Phase,
    Progress,
    Waiting,
    changed,
)
from llmtrain_operator.progress.auth import Busy


def steps(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [{"step": k, "loss": 5.0 - k / count, **fields} for k in range(1, count + 1)]


def test_a_spike_is_never_thinned_out_and_the_last_step_is_there() -> None:
    rows = steps(10_000)
    rows[4321]["loss"] = 80.0
    rows[7777]["loss"] = 0.01
    found = thinned(rows, 500)
    assert len(found) <= 500
    assert found[-1]["step"] == 10_000
    assert {80.0, 0.01} <= {row["loss"] for row in found}
    assert [row["step"] for row in found] == sorted({row["step"] for row in found})
    assert thinned(rows[:500], 500) == rows[:500]


def test_columns_have_the_names_of_the_page_and_no_number_that_json_lacks() -> None:
    rows = [
        {"step": 1, "attempt": 0, "loss": 3.0, "gradient_norm": 1.0, "tokens_per_second": 10},
        {"step": 2, "attempt": 1, "loss": float("nan"), "gradient_norm": True, "tokens_per_second": 11},
    ]
    columns = curve_of(rows)["columns"]
    assert columns["step"] == [1, 2]
    assert columns["attempt"] == [0, 1]
    assert columns["loss"] == [3.0, None]
    assert columns["gradNorm"] == [1.0, None]
    assert columns["tokensPerSecond"] == [10.0, 11.0]
    assert "mfu" not in columns


def test_phases_are_means_of_the_steps_in_which_they_were_measured() -> None:
    rows: list[dict[str, Any]] = [
        {"step": 1, "phases": {"data": 1.0}},
        {"step": 2},
        {"step": 3, "phases": {"data": 3.0, "forward": 4}},
    ]
    assert phases_of(rows) == {"data": 2.0, "forward": 2.0}
    assert phases_of([{"step": 1}]) == {}


def at(step: int, loss: float, **fields: Any) -> JobStatus:
    return running(progress=Progress(step=step, total_steps=20, loss=loss, **fields))


def test_what_was_watched_is_stitched_where_steps_are_done_again() -> None:
    watched = Watched()
    for status in (
        at(5, 3.0),
        at(10, 2.0, eval_loss=2.5),
        at(12, 1.9, eval_loss=2.5),
        at(6, 2.9, eval_loss=2.5),
    ):
        watched.take(job(status))
    assert [(row["step"], row["loss"]) for row in watched.rows] == [(5, 3.0), (6, 2.9)]
    watched.take(job(at(10, 2.1, eval_loss=2.4)))
    assert [row["evalLoss"] for row in watched.rows] == [None, None, 2.4]
    found = merged([{"step": 5, "loss": 3.1}, {"step": 10, "loss": 2.1}], watched.rows)
    assert [(row["step"], row["evalLoss"]) for row in found] == [(5, None), (6, None), (10, 2.4)]
    assert found[0]["loss"] == 3.1, "the output knows better than the status"


def failed() -> JobStatus:
    failure = Failure(
        failure_class=FailureClass.OUT_OF_MEMORY,
        message="CUDA out of memory\x1b[31m",
        hint="a smaller microBatchSize",
        rank=1,
        log_tail="line 1\nline 2",
        time=T0,
    )
    return running(phase=Phase.FAILED, failure=failure)


def test_a_page_tells_why_what_helps_and_the_end_of_the_log() -> None:
    events = [Event(T0, "Warning", "BackOff", "evil \x1b]0;title\x07", 3, "pod tiny-0-1")]
    page = page_of(job(failed()), events, T0)
    assert page["why"]["state"] == "Failed"
    assert "a smaller microBatchSize" in page["why"]["fix"]
    assert page["why"]["logTail"] == ["line 1", "line 2"]
    assert page["row"]["failure"] == {"class": "OutOfMemory", "message": "CUDA out of memory"}
    assert page["events"][0]["message"].startswith("evil ")
    assert "\x1b" not in page["events"][0]["message"] + page["why"]["paragraph"]
    assert page["actions"] == ["retry", "delete"]
    assert "builtin://tiny-llama" in page["spec"]


def test_what_may_be_asked_for_follows_from_the_phase() -> None:
    assert actions_of(job(running())) == ["suspend", "delete"]
    assert actions_of(job(running(phase=Phase.SUSPENDED))) == ["resume", "delete"]
    assert actions_of(job(running(), suspend=True)) == ["resume", "delete"]
    assert actions_of(job(JobStatus(phase=Phase.SUCCEEDED))) == ["retry", "delete"]
    no = Condition(type="Accepted", status="False", reason="X", message="no", last_transition_time=T0)
    assert actions_of(job(JobStatus(conditions=[no]))) == ["delete"]
    assert row_of(job(JobStatus(conditions=[no])))["phase"] == "Refused"


def test_a_row_of_the_queue_has_its_place_and_when_room_is_expected() -> None:
    waiting = Waiting(reason="WaitingForCapacity", message="2 nodes short", position=2, estimated_start=T0)
    row = row_of(job(JobStatus(phase=Phase.QUEUED, waiting=waiting), nodes=4, gpusPerNode=8))
    assert (row["phase"], row["gpus"], row["waiting"]["position"]) == ("Queued", 32, 2)
    assert row["waiting"]["start"] == T0.isoformat()
    assert row_of(job())["phase"] == "Pending"


def test_a_comparison_tells_only_what_differs() -> None:
    found = compared(job(running(), nodes=1), job(running(), nodes=2))
    assert found["parts"] == [{"title": "spec", "rows": [["nodes", "1", "2"]]}]
    begun = compared(job(at(5, 3.0)), job(running()))["parts"]
    assert [row[0] for part in begun for row in part["rows"]] == ["loss", "step", "totalSteps"]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer a b", "Bearer a\nX: 1", "Bearer é"]
)
def test_what_cannot_be_a_token_is_none(header: str) -> None:
    assert bearer(header) is None


def test_a_token_is_read_whatever_the_case_of_its_scheme() -> None:
    assert bearer("bearer abc.DEF-1_2~+/=") == "abc.DEF-1_2~+/="


ANNA = {
    "authenticated": True,
    "user": {"username": "anna", "groups": ["ml"], "uid": "7", "extra": {"a": ["b"]}},
}


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "user": ANNA["user"]},
        {"authenticated": True},
        {"authenticated": "yes", "user": ANNA["user"]},
    ],
)
def test_only_a_review_that_says_so_makes_a_user(status: dict[str, Any]) -> None:
    assert holder("t", status) is None


def test_the_question_names_the_user_the_verb_and_the_namespace() -> None:
    user = holder("t", ANNA)
    assert user is not None
    assert "t" not in repr(user).replace("'anna'", "").replace("identity", "").split("token"), (
        "no token in a log"
    )
    spec = access_review(user, "delete", "team-a")["spec"]
    assert spec == {
        "user": "anna",
        "groups": ["ml"],
        "uid": "7",
        "extra": {"a": ["b"]},
        "resourceAttributes": {
            "group": "llmtrain.dev",
            "resource": "llmtrainingjobs",
            "verb": "delete",
            "namespace": "team-a",
        },
    }


class Reviews:
    """An API server that knows one token."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.allowed: set[tuple[str, str]] = {("list", "team-a")}

    async def create_review(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(path.rpartition("/")[2])
        await asyncio.sleep(0)
        if path.endswith("tokenreviews"):
            return {"status": ANNA if body["spec"]["token"] == "good" else {"authenticated": False}}
        wants = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (wants["verb"], wants["namespace"]) in self.allowed}}


async def test_answers_are_kept_for_a_moment_and_rights_that_are_taken_away_go() -> None:
    reviews, now = Reviews(), [0.0]
    access = Reviewed(reviews, lambda: now[0])
    user = await access.user("good", "peer")
    assert user == await access.user("good", "peer") == User("anna", "good")
    assert await access.user("bad", "peer") is None
    assert await access.user("bad", "peer") is None
    assert user is not None
    assert await access.may(user, "list", "team-a")
    assert await access.may(user, "list", "team-a")
    assert not await access.may(user, "delete", "team-a")
    assert not await access.may(user, "list", "")
    assert reviews.asked == ["tokenreviews"] * 2 + ["subjectaccessreviews"] * 3
    reviews.allowed.clear()
    now[0] = 31.0
    assert not await access.may(user, "list", "team-a")


async def test_strangers_tokens_cost_a_bounded_number_of_reviews() -> None:
    access = Reviewed(Reviews(), lambda: 0.0)
    for number in range(REVIEWS_AT_ONCE):
        await access.user(f"guess-{number}", "peer")
    with pytest.raises(Busy):
        await access.user("one-more", "peer")
    assert await access.user("good", "another peer") is not None


async def test_the_token_of_a_laptop_is_one() -> None:
    access = OneToken("secret")
    assert await access.user("secret", "") is not None
    assert await access.user("secre", "") is None


def raw(name: str, namespace: str = "default", uid: str = "u1", version: str = "1") -> dict[str, Any]:
    found = job(running()).model_dump(by_alias=True, mode="json", exclude_none=True)
    found["metadata"] |= {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version}
    return found


async def test_a_board_tells_of_each_job_once_and_of_nothing_that_is_as_before() -> None:
    board = Board()
    board.replace([raw("a"), raw("b")], {("default", "a"), ("default", "b")})
    page = board.subscribe()
    board.put(raw("a"))
    assert await page.changed(0.01) == []
    board.put(raw("a", version="2"))
    board.put(raw("a", version="3"))
    board.replace([raw("a", version="3")], {("default", "a")})
    assert await page.changed(1) == [("default", "a"), ("default", "b")]
    assert (len(board), board.get(("default", "b"))) == (1, None)
    board.put({"metadata": {"name": 7}})
    assert len(board) == 1, "what cannot be read is left out"
    board.unsubscribe(page)
    board.remove(("default", "a"))
    assert await page.changed(0.01) == []


async def test_a_page_that_is_too_far_behind_is_dropped() -> None:
    page = Subscription()
    for number in range(MAX_PENDING):
        page.add(("default", f"job-{number}"))
    assert not page.dropped
    page.add(("default", "job-0"))
    assert not page.dropped, "the same job again is nothing more to tell"
    page.add(("default", "one-more"))
    assert page.dropped
    assert await page.changed(1) == []


def test_the_curve_of_another_job_of_that_name_is_another() -> None:
    board = Board()
    first = raw("a")
    first["status"] |= changed(at(5, 3.0), attempts=[]).to_json()
    board.put(first)
    entry = board.get(("default", "a"))
    assert entry is not None
    assert [row["step"] for row in entry.seen.rows] == [5]
    board.put(raw("a", uid="u2"))
    again = board.get(("default", "a"))
    assert again is not None
    assert again.seen.rows == []
