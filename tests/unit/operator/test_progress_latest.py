"""The latest report of each job."""

from __future__ import annotations

from harness.jobs import T0, UID, later, report

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
