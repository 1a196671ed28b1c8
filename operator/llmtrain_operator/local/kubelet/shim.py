"""The parent of one pod's processes: what a container's PID namespace is in a cluster.

Run by path, with the standard library only: ``shim.py RUNNER_PID COMMAND...``. When the command ends, or the
runner dies however it dies, everything below this process is killed. SIGTERM goes to the command alone, as a
kubelet sends it to PID 1; SIGUSR1 ends everything at once. The exit code is the command's, 128 + N for a
signal.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
END_ALL = signal.SIGUSR1
WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, END_ALL}
KILL_SECONDS = 10.0
CANNOT_START, KILLED = 127, 128 + signal.SIGKILL


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process."""
    ctypes.CDLL(None).prctl(option, int(value), 0, 0, 0)


def children() -> list[int]:
    """Direct children, adopted ones among them."""
    found: list[int] = []
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.extend(int(pid) for pid in listing.read_text().split())
    return found


def end_all() -> None:
    """Kill and reap every descendant: orphans become our children, so it ends when there are none."""
    until = time.monotonic() + KILL_SECONDS
    while time.monotonic() < until:
        left = children()
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.005)


def reap() -> dict[int, int]:
    """Exit codes of children that have ended."""
    ended: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            code = os.waitstatus_to_exitcode(status)
            ended[pid] = code if code >= 0 else 128 - code
    return ended


def start(command: list[str]) -> int:
    """The command as a child that dies with this process."""
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(CANNOT_START)


def supervise(child: int) -> int:
    """Pass signals on until the command ends; its exit code."""
    while True:
        number = signal.sigwait(WATCHED)
        if number == END_ALL:
            return KILLED
        if number == signal.SIGCHLD:
            ended = reap()
            if child in ended:
                return ended[child]
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGTERM)


def main(runner: int, command: list[str]) -> int:
    """Run a command as the runner's; its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, END_ALL)
    if os.getppid() != runner:
        # it died before we could ask to be told
        return KILLED
    try:
        return supervise(start(command))
    finally:
        end_all()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
