"""A full disk is told with its folder and its size, and never tried again."""

from __future__ import annotations

import errno
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from harness.builders import job

from llmtrain_api import Outcome
from llmtrain_trainer.checkpoint.disk_errors import refusal
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import write_json
from llmtrain_trainer.launch import torchrun
from llmtrain_trainer.launch.disk_full import disk_full, is_full
from llmtrain_trainer.launch.torchrun import Failed, Stop, run_stage
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import RankRecord

SAFETENSORS = "SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)"
Usage = namedtuple("Usage", "total used free")


def test_what_says_that_a_disk_is_full() -> None:
    assert is_full(OSError(errno.ENOSPC, "no"))
    assert is_full(OSError(errno.EDQUOT, "no"))
    assert is_full(SAFETENSORS)
    assert not is_full(OSError(errno.EIO, "Input/output error"))


def test_the_fullest_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/tokens").write_bytes(b"0" * (3 << 20))
    free = {"/out": 1 << 19, "/scratch": 1 << 30}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 31, 0, free[str(path)]))
    error = disk_full("prepare", [Path("/scratch"), Path("/out")], tmp_path / "data")
    assert error.message == (
        "prepare: /out is full: 0.5 MiB of 2,048.0 MiB are free; "
        "it needs more than the 3.0 MiB that it had written"
    )
    assert "checkpoints that were there are kept" in error.hint


@pytest.mark.parametrize(("last", "kind"), [(SAFETENSORS, ConfigError), ("OSError: [Errno 5] I/O", Failed)])
def test_a_stage_on_a_full_disk_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str, kind: type[Exception]
) -> None:
    script = tmp_path / "stage.py"
    script.write_text(f"import sys; print({last!r}); sys.exit(1)")
    start = torchrun.process.start
    monkeypatch.setattr(
        torchrun.process, "start", lambda _command, env, log: start([sys.executable, str(script)], env, log)
    )
    with pytest.raises(kind):
        run_stage("prepare", "job.json", [], tmp_path / "log", Stop(), [tmp_path], None)


def judged(tmp_path: Path, record: RankRecord | None) -> Exception:
    """What the launcher makes of a rank that left this, or nothing."""
    asked = job(tmp_path / "output", processesPerNode=1)
    output = Output(Path(asked.output))
    output.logs(0).mkdir(parents=True)
    if record is not None:
        write_json(output.rank_end(asked.attempt, 0), record.to_json())
    with pytest.raises((ConfigError, Failed)) as caught:
        torchrun.Torchrun(asked, "job.json", output, 0, Stop())._judge(1)
    return caught.value


NO_SPACE = "No space left on device"
REFUSED = f"3 checkpoints in a row failed; step 9 could not be saved in /out/checkpoints: {NO_SPACE}"


def ending(kind: str, message: str) -> RankRecord:
    return RankRecord(outcome=Outcome.FAILED, time=1.0, type=kind, message=message)


FULL_ENDS: dict[str, tuple[RankRecord | None, str]] = {
    "a write": (ending("OSError", f"[Errno 28] {NO_SPACE}"), "training: "),
    "a checkpoint": (ending("SaveFailed", REFUSED), REFUSED),
    "nothing could be written": (None, "training: "),
}


@pytest.mark.parametrize("kind", FULL_ENDS)
def test_training_on_a_full_disk_ends_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(12 << 20, 12 << 20, 0))
    record, told = FULL_ENDS[kind]
    error = judged(tmp_path, record)
    assert isinstance(error, ConfigError)
    assert error.message.startswith(told)
    assert kind == "a checkpoint" or "0.0 MiB of 12.0 MiB are free" in error.message
    assert "checkpoints that were there are kept" in error.hint


def test_a_rank_that_is_killed_while_there_is_room_is_no_full_disk(tmp_path: Path) -> None:
    error = judged(tmp_path, None)
    assert isinstance(error, Failed)
    assert error.verdict.cascade


def test_a_refused_checkpoint_says_how_much_one_takes(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, NO_SPACE)
    assert "the last checkpoint" not in refusal(9, tmp_path, error, None)
    step = tmp_path / "step-3"
    (step / "weights").mkdir(parents=True)
    (step / "weights" / "a.bin").write_bytes(bytes(3 << 20))
    assert "are free, the last checkpoint has 3 MiB); free space there" in refusal(9, tmp_path, error, step)
    assert "the last checkpoint" not in refusal(9, tmp_path, OSError(errno.EACCES, "no"), step)
