"""Files that processes leave each other: read as models, and a torn one says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmtrain_trainer.errors import ConfigError, OutputTaken
from llmtrain_trainer.files import write_json
from llmtrain_trainer.records import EvaluationRecord, RankRecord, read_record
from llmtrain_trainer.training import rank


@pytest.mark.parametrize("error", [ConfigError("wrong", "do this"), OutputTaken("gone"), ValueError("boom")])
def test_what_a_rank_writes_the_launcher_reads(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "rank-0.end.json"
    write_json(path, rank._ending(error, rank._classify(error)[1]).to_json())
    record = read_record(path, RankRecord)
    assert record is not None
    assert (record.type, record.message) == (type(error).__name__, getattr(error, "message", str(error)))
    assert record.hint == getattr(error, "hint", "")


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
    record = {"step": 5, "loss": 2.5, "tokens": 9, "trainLoss": 1.0, "run_state": {"bestStep": 5}}
    write_json(path, record)
    read = read_record(path, EvaluationRecord)
    assert read is not None
    assert (read.step, read.loss, read.train_loss, read.run_state) == (5, 2.5, 1.0, {"bestStep": 5})
