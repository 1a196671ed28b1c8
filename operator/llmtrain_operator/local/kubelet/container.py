"""One container as local processes: started, told to end, never left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from .shim import END_ALL, KILL_SECONDS, KILLED

SHIM = Path(__file__).with_name("shim.py")
MESSAGE_BYTES, TAIL_BYTES = 4096, 2048


@dataclass(frozen=True)
class Task:
    """What to run and where its words go."""

    command: list[str]
    env: dict[str, str]
    folder: Path
    log: Path
    message: Path
    fall_back_to_log: bool


class Container:
    """A command and everything below it."""

    def __init__(self, task: Task, process: asyncio.subprocess.Process) -> None:
        self._task = task
        self._process = process
        self._kill: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, task: Task) -> Container:
        """Start it in a session of its own.

        Raises:
            OSError: it cannot be started.
        """
        task.log.parent.mkdir(parents=True, exist_ok=True)
        with task.log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SHIM), str(os.getpid()), *task.command),
                env=task.env,
                cwd=task.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(task, process)

    async def wait(self) -> int:
        """Its exit code, as a kubelet tells it: 128 + N for signal N."""
        code = await self._process.wait()
        if self._kill is not None:
            self._kill.cancel()
        return code if code >= 0 else KILLED

    def terminate(self, grace: float) -> None:
        """SIGTERM now, the end of everything when the grace time is over. The earliest end wins."""
        loop = asyncio.get_running_loop()
        due = loop.time() + grace
        if self._kill is None:
            self._signal(signal.SIGTERM)
        elif self._kill.when() <= due:
            return
        else:
            self._kill.cancel()
        self._kill = loop.call_at(due, self.kill)

    def kill(self) -> None:
        """End everything now."""
        if self._kill is not None:
            self._kill.cancel()
        self._signal(END_ALL)
        self._kill = asyncio.get_running_loop().call_later(KILL_SECONDS + 2, self._signal, signal.SIGKILL)

    def last_words(self, code: int) -> str:
        """Its termination message; after a failure without one the tail of its log."""
        message = _tail(self._task.message, MESSAGE_BYTES)
        if message or not code or not self._task.fall_back_to_log:
            return message
        return _tail(self._task.log, TAIL_BYTES)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


def _tail(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
