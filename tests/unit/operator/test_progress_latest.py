"""The latest report of each job."""

from __future__ import annotations

from harness.jobs import T0, UID, later, report

from llmtrain_api import Progress, ReinforcementFigures, RewardFigure
from llmtrain_operator.plan.progress import progress_of
from llmtrain_operator.progress.latest import ReportBook
from llmtrain_operator.types import JobRef

JOB = JobRef("default", "tiny", UID)


def test_book_keeps_the_newest_attempt_and_what_was_said_once() -> None:
    book = ReportBook()
    assert book.record(
        JOB,
        report(1, resumed_step=10, resumed_note="torn", checkpoint_step=10, checkpoints=[10, 5]).report,
        T0,
    )
    assert not book.record(JOB, report(0).report, T0), "an older attempt"
    assert book.record(JOB, report(1, step=12).report, later(1))
    last = book.last(JOB, 1)
    assert last is not None
    assert (last.report.step, last.report.resumed_step, last.report.checkpoint_step) == (12, 10, 10)
    assert (last.report.resumed_note, last.report.checkpoints) == ("torn", [10, 5])
    assert book.last(JOB, 0) is None
    book.forget(JOB)
    assert book.last(JOB, 1) is None


def test_what_came_of_answers_is_in_the_status_as_it_was_reported() -> None:
    told = ReinforcementFigures(
        reward=0.75,
        rewards=[RewardFigure(name="format", mean=0.75)],
        deviation=0.4,
        without_signal=0.25,
        answer_tokens=12.5,
        ended=1.0,
    )
    found = progress_of(report(0, step=3, reinforcement=told))
    assert found.reinforcement == told
    assert Progress.model_validate(found.to_json()) == found
    assert found.to_json()["reinforcement"]["rewards"] == [{"name": "format", "mean": 0.75}]
