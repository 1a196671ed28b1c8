"""Launchers and waiting for the trainer's tests."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from harness.children import PYTHONPATH, environment
from harness.trainer.cards import require_card
from harness.trainer.warm import Program, Warm

from llmtrain_api import JobFile
from llmtrain_trainer.output import Output

ROOT = Path(__file__).resolve().parents[3]
DEADLINE = 150.0


class Launch:
    """A launcher as a process of its own."""

    def __init__(
        self,
        work: Path,
        job_file: JobFile,
        *,
        report: dict[str, str] | None = None,
        node: int = 0,
        metrics_port: int = 0,
        more: dict[str, str] | None = None,
        libraries: Path | None = None,
        cold: bool = False,
    ) -> None:
        """A job that starts at once.

        Args:
            work: where its files are written.
            job_file: the job.
            report: where it tells its progress.
            node: its number in the gang.
            metrics_port: of rank 0.
            more: variables of its environment beside the usual.
            libraries: a folder with modules that it imports while it runs, found before all others.
            cold: execute it instead of forking it.
        """
        work.mkdir(parents=True, exist_ok=True)
        self.job = job_file
        name = f"{job_file.attempt}-{job_file.job.uid[:4]}-{node}"
        self.termination = work / f"termination-{name}"
        self.path = path = work / f"job-{name}.json"
        raw = job_file.to_json()
        if report:
            raw["report"] = report
        path.write_text(json.dumps(raw))
        self.log = path.with_suffix(".log")
        env = environment(
            LLMTRAIN_TERMINATION_LOG=str(self.termination),
            LLMTRAIN_METRICS_PORT=str(metrics_port),
            LLMTRAIN_NODE_RANK=str(node),
            **(more or {}),
        )
        cold = cold or env["PYTHONPATH"] != PYTHONPATH
        if libraries:
            env["PYTHONPATH"] = f"{libraries}{os.pathsep}{env['PYTHONPATH']}"
        self.process = _started(["launch", str(path)], env, self.log, cold=cold)

    @property
    def output(self) -> Output:
        return Output(Path(self.job.output))

    def wait(self) -> int:
        """The exit code. What a job exports has a model card, whatever its task."""
        try:
            code = self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the launcher did not end in time:\n{self.text()}") from None
        if code == 0 and self.output.export.is_dir():
            require_card(self.output.export)
        return code

    def text(self) -> str:
        return self.log.read_text()

    def message(self) -> dict[str, Any]:
        body = self.termination.read_bytes()
        assert len(body) <= 4096
        value: dict[str, Any] = json.loads(body)
        return value

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition while the launcher runs."""
        limit = time.monotonic() + DEADLINE
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.text()}"
            assert time.monotonic() < limit, f"no {what} in time:\n{self.text()}"
            time.sleep(0.005)

    def descendants(self) -> list[int]:
        """torchrun first, then its workers."""
        found: list[int] = []
        queue = [self.process.pid]
        while queue:
            for child in children(queue.pop(0)):
                found.append(child)
                queue.append(child)
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@cache
def warm() -> Warm:
    """The process that launchers are forked from. It ends with this one."""
    found = Warm()
    atexit.register(found.close)
    return found


def run_verb(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A verb of the trainer to its end, as `subprocess.run` would tell of it.

    Args:
        folder: where what it says is kept.
        words: the verb and its arguments.
    """
    said, errors = folder / "said", folder / "errors"
    program = warm().start("llmtrain_trainer", words, environment(), said, errors)
    code = program.wait(DEADLINE)
    return subprocess.CompletedProcess(words, code, said.read_text(), errors.read_text())


def _started(
    arguments: list[str], env: dict[str, str], log: Path, *, cold: bool
) -> Program | subprocess.Popen[bytes]:
    """A launcher: a fork, but where it shall begin with something else than this checkout."""
    if not cold:
        return warm().start("llmtrain_trainer", arguments, env, log)
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "llmtrain_trainer", *arguments],
            env=env,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
