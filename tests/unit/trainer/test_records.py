"""Files that processes leave each other: read as models, and a torn one says what is wrong with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtrain_api import Outcome, TerminationMessage
from llmtrain_api.messages import read_termination_message
from llmtrain_trainer import records
from llmtrain_trainer.errors import ConfigError, OutputTaken
from llmtrain_trainer.files import write_json
from llmtrain_trainer.launch.termination import encode
from llmtrain_trainer.records import EvaluationRecord, FenceRecord, RankRecord, read_record, record_or_none
from llmtrain_trainer.training import rank


@pytest.mark.parametrize("error", [ConfigError("wrong", "do this"), OutputTaken("gone"), ValueError("boom")])
def test_what_a_rank_writes_the_launcher_reads(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "rank-0.end.json"
    write_json(path, rank._ending(error, rank._classify(error)[1]).to_json())
    record = read_record(path, RankRecord)
    assert record is not None
    assert (record.type, record.message) == (type(error).__name__, getattr(error, "message", str(error)))
    assert record.hint == getattr(error, "hint", "")


def test_a_message_with_half_a_character_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rank-0.end.json"
    error = ConfigError("no file caf\udce9.txt", "rename \ud83d")
    write_json(path, rank._ending(error, Outcome.FAILED).to_json())
    record = read_record(path, RankRecord)
    assert record is not None
    assert record.message == "no file caf?.txt"
    raw = encode(TerminationMessage.model_construct(outcome=Outcome.FAILED, message=str(error)))
    read = read_termination_message(raw.decode())
    assert read is not None
    assert read.message == "no file caf?.txt; rename ?"


def test_an_end_that_cannot_be_written_is_still_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(rank, "write_json", full)
    rank._leave(tmp_path / "rank-0.end.json", rank._ending(ValueError("boom"), Outcome.FAILED))
    assert "No space left on device" in capfd.readouterr().err


def test_a_torn_record_is_told_with_its_path_and_a_missing_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    assert read_record(path, EvaluationRecord) is None
    path.write_text('{"step": 5, "lo')
    with pytest.raises(ValueError, match=r"evaluation\.json: the file: Invalid JSON"):
        read_record(path, EvaluationRecord)
    path.write_text('{"step": 5, "trainLoss": 1.0}')
    with pytest.raises(ValueError, match=r"evaluation\.json: tokens: Field required"):
        read_record(path, EvaluationRecord)


def test_the_export_reads_what_the_training_loop_writes(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    record = {"step": 5, "loss": 2.5, "tokens": 9, "trainLoss": 1.0, "runState": {"bestStep": 5}}
    record |= {"checkedSequences": 3, "checkedLoss": 2.25}
    write_json(path, record)
    read = read_record(path, EvaluationRecord)
    assert read is not None
    assert (read.step, read.loss, read.train_loss, read.run_state) == (5, 2.5, 1.0, {"bestStep": 5})
    assert (read.checked_sequences, read.checked_loss) == (3, 2.25)


def _link(path: Path) -> None:
    path.with_name("elsewhere").write_text('{"jobUid": "a", "attempt": 9}')
    path.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("put", "told"),
    [
        (_link, "is a link, and links are not followed"),
        (os.mkfifo, "not a plain file"),
        (lambda path: path.write_bytes(b'{"jobUid": "' + b"a" * 2000 + b'"}'), "longer than 1000 bytes"),
        (lambda path: path.write_text('{"jobUid": "' + "a" * 300 + '"}'), "at most 253 characters"),
        (lambda path: path.write_text('{"jobUid": "a", "attempt": "newest"}'), "attempt: Input should be a"),
        (lambda path: path.write_text('{"jobUid": 5}'), "jobUid: Input should be a valid string"),
        (lambda path: path.write_text("[]"), "the file: Input should be an object"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "the file: Invalid JSON"),
    ],
    ids=["link", "pipe", "long file", "long name", "no number", "no text", "no object", "no text at all"],
)
def test_what_others_put_in_a_records_place_is_told_and_counts_as_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], object], told: str
) -> None:
    monkeypatch.setattr(records, "LIMIT", 1000)
    path = tmp_path / "FENCE"
    put(path)
    with pytest.raises(ValueError, match=f"FENCE: {told}|FENCE: .*{told}"):
        read_record(path, FenceRecord)
    assert record_or_none(path, FenceRecord) is None


def test_a_record_of_a_newer_trainer_is_read_without_what_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "FENCE"
    path.write_text('{"jobUid": "a", "attempt": 3, "holder": "pod", "since": "2030"}')
    assert record_or_none(path, FenceRecord) == FenceRecord(job_uid="a", attempt=3, holder="pod")
