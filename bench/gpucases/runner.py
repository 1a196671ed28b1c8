"""Runs cases: each in a process of its own, with a time limit, its lines written at once."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

SLOW = 5.0
"""How much longer a case may take on a CPU, which others may load."""
Say = Callable[[dict[str, Any]], None]
"""Writes one line of a case's findings."""


@dataclass(frozen=True)
class Context:
    """What a case gets.

    Attributes:
        say: writes one line of its findings.
        folder: an empty folder of its own.
        tiny: whether it is only to show that it runs.
    """

    say: Say
    folder: Path
    tiny: bool


@dataclass(frozen=True)
class Case:
    """One process.

    Attributes:
        name: of its lines.
        seconds: after which it is killed.
        run: what it does; a case fails by raising.
        arguments: of ``run``, behind the context.
    """

    name: str
    seconds: float
    run: Callable[..., None]
    arguments: tuple[Any, ...] = ()


@dataclass
class Run:
    """All cases of one call.

    Attributes:
        out: folder of ``gpu.jsonl``.
        tiny: see `Context`.
        until: no case begins after that moment.
        failed: names of those that failed.
    """

    out: Path
    tiny: bool
    until: float
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.out / "gpu.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def say(self, case: str, found: dict[str, Any]) -> None:
        """Write a line, whole, into the file and onto the screen."""
        line = json.dumps({"case": case, **found}, default=str)
        os.write(self._file, (line + "\n").encode())
        print(line[:1500], flush=True)

    def group(self, cases: list[Case]) -> None:
        """Run cases side by side until each has ended or is out of time."""
        if cases and time.monotonic() > self.until:
            self.failed += [one.name for one in cases]
            self.say("not begun", {"cases": [one.name for one in cases]})
            return
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            began = time.monotonic()
            running = {self._fork(one, Path(folder) / str(n)): one for n, one in enumerate(cases)}
            while running:
                for pid, one in list(running.items()):
                    done, status = os.waitpid(pid, os.WNOHANG)
                    late = time.monotonic() - began > one.seconds * (SLOW if self.tiny else 1)
                    if not done and not late:
                        continue
                    _kill(pid)
                    if not done:
                        os.waitpid(pid, 0)
                    del running[pid]
                    self._ended(one, "out of time" if not done else os.waitstatus_to_exitcode(status), began)
                time.sleep(0.01)

    def _ended(self, case: Case, code: int | str, began: float) -> None:
        found: dict[str, Any] = {"ended": code, "seconds": round(time.monotonic() - began, 1)}
        if code != 0:
            self.failed.append(case.name)
            found["log"] = self._log(case).read_text(errors="replace")[-3000:]
        self.say(case.name, found)

    def _log(self, case: Case) -> Path:
        return self.out / f"{case.name.replace(' ', '-')}.log"

    def _fork(self, case: Case, folder: Path) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.setsid()  # so that all that it starts can be ended with it
            folder.mkdir(parents=True)
            log = os.open(self._log(case), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            screen = os.dup(1)
            os.dup2(log, 1)
            os.dup2(log, 2)

            def say(found: dict[str, Any]) -> None:
                line = json.dumps({"case": case.name, **found}, default=str)
                os.write(self._file, (line + "\n").encode())
                os.write(screen, (line[:1500] + "\n").encode())

            case.run(Context(say, folder, self.tiny), *case.arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _kill(group: int) -> None:
    """End what is left of a case."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def wait() -> None:
    """Until a GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def alone(port: int) -> None:
    """Make this process the only rank of a gang."""
    os.environ.update(
        RANK="0",
        LOCAL_RANK="0",
        WORLD_SIZE="1",
        LOCAL_WORLD_SIZE="1",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
