"""A person at a terminal sees a bar; a file gets the lines as they are."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import shutil
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.children import environment
from harness.ports import free_port
from harness.trainer.launches import warm

from llmtrain_trainer.telemetry.bar import Screen

DEADLINE = 280.0


def in_terminal(verb: str, job_file: Path, **env: str) -> tuple[int, str]:
    """Exit code of a verb in a terminal, and all that it drew."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    variables = environment(LLMTRAIN_METRICS_PORT="0", **env)
    terminal = Path(os.ttyname(theirs))
    program = warm().start("llmtrain_trainer", [verb, str(job_file)], variables, terminal)
    drawn, until = b"", time.monotonic() + DEADLINE
    try:
        while (running := program.poll() is None) or select.select([ours], [], [], 0)[0]:
            if time.monotonic() > until:
                break
            if select.select([ours], [], [], 0.1 if running else 0)[0]:
                drawn += os.read(ours, 65536)
    finally:
        program.kill()
        os.close(theirs)
        os.close(ours)
    return program.wait(10), drawn.decode(errors="replace")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder, and what `launch` drew while it ran a job into it."""
    folder = tmp_path_factory.mktemp("bar")
    path = folder / "job.json"
    path.write_text(json.dumps(job(folder / "output", processesPerNode=1).to_json()))
    code, drawn = in_terminal("launch", path, LLMTRAIN_TERMINATION_LOG=str(folder / "termination"))
    assert code == 0, drawn
    return folder, drawn


def test_launch_draws_a_bar(launched: tuple[Path, str]) -> None:
    drawn = launched[1]
    assert re.search(r"training: 100%\|[^|]+\| 40/40 .*loss=\d\.\d+.*tokens/s=[\d,]+", drawn), drawn
    assert '"event": "step"' not in drawn
    assert "checkpoint committed  step=10" in drawn


@pytest.mark.proof
def test_one_rank_by_hand_draws_a_bar(launched: tuple[Path, str]) -> None:
    """The same attempt again, without the lines of the run before."""
    folder, _ = launched
    for step in (folder / "output/checkpoints").glob("step-*"):
        shutil.rmtree(step)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "1", "RANK": "0"}
    quiet = {"LOCAL_RANK": "0", "DS_ACCELERATOR": "cpu", "PYTHONWARNINGS": "ignore::FutureWarning"}
    code, drawn = in_terminal("train", folder / "job.json", **where, **quiet)
    assert code == 0, drawn
    assert re.search(r"training: 100%\|[^|]+\| 40/40 ", drawn), drawn
    assert drawn.count("engine built") == 1


def line(event: str, **fields: Any) -> str:
    return json.dumps({"event": event, **fields})


STEP: dict[str, Any] = {"loss": 2.0, "tokens_per_second": 1234.5, "learning_rate": 1e-3}


def test_a_resumed_bar_begins_where_training_does() -> None:
    terminal, out = io.StringIO(), io.StringIO()
    screen = Screen(terminal, out)
    lines = [
        line("resumed", total_steps=100, from_step=50),
        line("step", step=60, total_steps=100, mfu=0.412, **STEP),
        "not JSON",
    ]
    for one in lines:
        screen.show(one)
    screen.close()
    assert " 50/100 " in terminal.getvalue()
    assert " 60/100 " in terminal.getvalue()
    assert "MFU=41.2%" in terminal.getvalue()
    assert out.getvalue().splitlines() == lines, "a file gets the lines as they are"
