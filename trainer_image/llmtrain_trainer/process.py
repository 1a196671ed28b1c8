"""Children of PID 1: they die with their parent, and none is left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process, so that it can be found and killed."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU, without a library that would have to be loaded to ask."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def children(pid: int) -> list[int]:
    """Direct children of a process, by any of its threads."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.extend(int(child) for child in listing.read_text().split())
    return found


def start(
    command: list[str], env: dict[str, str], log: Path, *, stdin: int = subprocess.DEVNULL, niceness: int = 0
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, output appended to a file.

    Args:
        command: and its arguments.
        env: all that its environment has.
        log: the file.
        stdin: nothing, or ``subprocess.PIPE``.
        niceness: how far it stands back behind this process for the CPU.
    """

    def begin() -> None:
        die_with_parent()
        os.nice(niceness)

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            command,
            env=env,
            stdin=stdin,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=begin,
        )


def signal_each(pids: list[int], number: int) -> None:
    """Signal processes that may be gone already."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_orphans(deadline: float = 10.0, spare: frozenset[int] = frozenset()) -> int:
    """Kill and reap everything that became our child. How many there were.

    Args:
        deadline: seconds.
        spare: children that are to live.
    """
    seen: set[int] = set()
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        left = [pid for pid in children(os.getpid()) if pid not in spare]
        if not left:
            break
        seen.update(left)
        signal_each(left, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.02)
    return len(seen)
