"""A full disk is told with its folder and its size, and never tried again."""

from __future__ import annotations

import errno
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.launch import torchrun
from llmtrain_trainer.launch.disk_full import disk_full, is_full
from llmtrain_trainer.launch.torchrun import Failed, Stop, run_stage

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
