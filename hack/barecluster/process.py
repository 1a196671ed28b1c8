"""Processes that outlive the command which starts them: start, find again, stop, wait for.

A record holds the pid and the process's start time, so that a pid that the kernel gave to another process
is never taken for ours.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from barecluster.console import ClusterError
from barecluster.shell import tail

_POLL_SECONDS = 0.1


class _Record(TypedDict):
    pid: int
    started: str | None
    wanted: list[str]


def start_time(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None when it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold spaces
    if fields[0] in "ZX":
        return None
    return f"{boot}:{fields[19]}"


class Processes:
    """The processes of one instance, recorded under `run`, each with a log under `logs`."""

    def __init__(self, run: Path, logs: Path) -> None:
        self._run, self._logs = run, logs

    def log(self, name: str) -> Path:
        """The file that the process writes to."""
        return self._logs / f"{name}.log"

    def names(self) -> list[str]:
        """Every process that has a record, running or not."""
        return sorted(path.stem for path in self._run.glob("*.json"))

    def pid(self, name: str) -> int | None:
        """The pid when the recorded process still runs."""
        record = self._record(name)
        if record and record["started"] and start_time(record["pid"]) == record["started"]:
            return record["pid"]
        return None

    def ensure(
        self,
        name: str,
        argv: Sequence[str],
        *,
        files: Mapping[Path, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> bool:
        """Have `name` run with exactly this program and configuration; True if that took a start."""
        files = files or {}
        wanted = [os.path.realpath(argv[0]), *argv[1:], *files.values()]
        if self.pid(name) is not None:
            record = self._record(name)
            if record and record["wanted"] == wanted:
                return False
            self.stop([name])
        for path, text in files.items():  # never while it runs: kube-proxy ends when its file is touched
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                cwd="/",
                start_new_session=True,
            )
        record = _Record(pid=child.pid, started=start_time(child.pid), wanted=wanted)
        partial = self._run / f"{name}.partial"
        partial.write_text(json.dumps(record))
        partial.rename(self._run / f"{name}.json")
        return True

    def stop(self, names: Iterable[str], grace_seconds: float = 10) -> None:
        """End the named processes together: SIGTERM, then SIGKILL after the grace."""
        names = list(names)
        self._signal(names, signal.SIGTERM)
        self._wait_gone(names, grace_seconds)
        self._signal(names, signal.SIGKILL)
        self._wait_gone(names, 5)
        for name in names:
            if self.pid(name) is not None:
                raise ClusterError(f"{name} (pid {self.pid(name)}) does not end, even by SIGKILL")
            (self._run / f"{name}.json").unlink(missing_ok=True)

    def wait_until(self, name: str, what: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for `ready`; the end of the process or of the time raises with the end of its log."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid(name) is None:
                raise ClusterError(f"{name} ended while waiting for: {what}. {self._log_end(name)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{what}: not within {seconds:.0f} s. {self._log_end(name)}")
            time.sleep(_POLL_SECONDS)

    def _log_end(self, name: str) -> str:
        return f"{self.log(name)} ends:\n{tail(self.log(name))}"

    def _record(self, name: str) -> _Record | None:
        try:
            record: _Record = json.loads((self._run / f"{name}.json").read_text())
        except FileNotFoundError:
            return None
        return record

    def _signal(self, names: Iterable[str], number: signal.Signals) -> None:
        for name in names:
            if (pid := self.pid(name)) is not None:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue

    def _wait_gone(self, names: Sequence[str], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while any(self.pid(name) is not None for name in names) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS / 2)
