"""How far data preparation is: from the passes over the text to what the operator is told."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from harness.builders import job

from llmtrain_api import JobFile, ProgressReport, ProgressUpdate, ReportTarget, Stage
from llmtrain_trainer.data import progress as progress_module
from llmtrain_trainer.data.progress import ProgressLog
from llmtrain_trainer.launch.before_training import preparation
from llmtrain_trainer.records import PreparationRecord
from llmtrain_trainer.telemetry import reporter as reporter_module
from llmtrain_trainer.telemetry.reporter import Reporter

PASSES = {"tokenizer": 400, "rows": 1000}


class Clock:
    """Seconds that rise when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def figures(progress: ProgressLog) -> tuple[int | None, int | None, float | None]:
    said = progress.record()
    return said.prepared_bytes, said.bytes_to_prepare, said.eta_seconds


def expecting(clock: Clock, file: Path | None = None) -> ProgressLog:
    progress = ProgressLog(file, clock)
    progress.expect(PASSES)
    return progress


def test_both_passes_count_and_the_time_left_is_by_the_pass_that_runs(clock: Clock) -> None:
    progress = expecting(clock)
    passed = progress.begin("tokenizer")
    assert figures(progress) == (0, 1400, None)
    clock.now = 2.0
    passed(200)
    assert figures(progress) == (200, 1400, 12.0)
    progress.end()
    assert figures(progress) == (400, 1400, None), "it stops when it has seen enough"
    passed = progress.begin("rows")
    clock.now = 6.0
    passed(500)
    assert figures(progress) == (900, 1400, 4.0)
    passed(700)
    assert figures(progress) == (1400, 1400, None), "a file may have grown since it was measured"
    progress.end()
    assert figures(progress) == (1400, 1400, None)


def test_a_pass_that_is_not_needed_is_not_waited_for(clock: Clock) -> None:
    progress = expecting(clock)
    progress.begin("rows")(250)
    assert figures(progress) == (250, 1000, None)


def test_an_end_that_is_too_far_away_has_no_estimate(clock: Clock) -> None:
    progress = ProgressLog(None, clock)
    progress.expect({"rows": 1 << 50})
    passed = progress.begin("rows")
    clock.now = 2.0
    passed(1)
    assert figures(progress) == (1, 1 << 50, None)


def test_the_log_is_told_now_and_then(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = expecting(clock)
    passed = progress.begin("rows")
    for second in range(21):
        clock.now = float(second)
        passed(40)
    told = [line for line in capsys.readouterr().out.splitlines() if "data preparation" in line]
    assert len(told) == 2
    assert "440" in told[0]
    assert "84" in told[1]


def test_the_launcher_reads_what_preparation_writes(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "prepare.json"
    progress = expecting(clock, file)
    assert preparation(file) is None, "nothing is known yet"
    passed = progress.begin("rows")
    assert preparation(file) == ProgressUpdate(prepared_bytes=0, bytes_to_prepare=1000, eta_seconds=None)
    passed(10)
    said = preparation(file)
    assert said is not None
    assert said.prepared_bytes == 0, "a disk is not written to at every block"
    clock.now = 2.0
    passed(90)
    assert preparation(file) == ProgressUpdate(prepared_bytes=100, bytes_to_prepare=1000, eta_seconds=18.0)


def test_noise_has_no_bytes_and_says_nothing(tmp_path: Path, clock: Clock) -> None:
    progress = ProgressLog(tmp_path / "prepare.json", clock)
    progress.expect({"tokenizer": 0, "rows": 0})
    progress.begin("rows")
    progress.end()
    assert list(tmp_path.iterdir()) == []


def test_preparation_goes_on_where_nothing_can_be_told(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def full(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(progress_module, "write_json", full)
    progress = expecting(clock, tmp_path / "prepare.json")
    progress.begin("rows")(500)
    assert figures(progress)[0] == 500
    assert tries


@pytest.mark.parametrize(
    "content",
    [
        '{"preparedBytes": 1',
        "[]",
        '{"preparedBytes": -1, "bytesToPrepare": 5}',
        '{"preparedBytes": 1, "bytesToPrepare": 1e300}',
        '{"preparedBytes": 1, "bytesToPrepare": 5, "etaSeconds": 1e30}',
        '{"preparedBytes": 1, "bytesToPrepare": 5, "step": "' + "x" * 5000 + '"}',
    ],
)
def test_what_cannot_be_progress_is_not_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "prepare.json"
    file.write_text(content)
    assert preparation(file) is None


def test_the_file_says_nothing_of_training(tmp_path: Path) -> None:
    file = tmp_path / "prepare.json"
    file.write_text('{"preparedBytes": 1, "bytesToPrepare": 5, "step": 9, "stage": "train", "loss": 0.5}')
    said = preparation(file)
    assert said is not None
    assert said.model_fields_set == set(PreparationRecord.model_fields)


def reporting(monkeypatch: pytest.MonkeyPatch, told: list[ProgressReport]) -> JobFile:
    def post(_: object, report: ProgressReport) -> None:
        told.append(report)

    monkeypatch.setattr(reporter_module, "INTERVAL", 0.01)
    monkeypatch.setattr(reporter_module, "post", post)
    return job(Path("/nowhere")).model_copy(update={"report": ReportTarget(url="http://localhost")})


def test_a_reporter_asks_for_news_until_it_is_closed_and_posts_only_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[ProgressReport] = []
    asked, enough = [], threading.Event()
    said = [1, 1, 1, 5]

    def news() -> ProgressUpdate | None:
        asked.append(1)
        if len(asked) == len(said):
            enough.set()
        return ProgressUpdate(prepared_bytes=said[min(len(asked), len(said)) - 1])

    reporter = Reporter(reporting(monkeypatch, told), Stage.PREPARE, news)
    reporter.update(urgent=True)
    assert enough.wait(30)
    said.append(9)
    reporter.close()
    assert [report.prepared_bytes for report in told] == [1, 5, 9]
    assert {report.stage for report in told} == {Stage.PREPARE}
