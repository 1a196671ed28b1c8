"""Programs of the trainer as forks of one process that has imported everything: their start costs nothing.

A launcher, its verbs, torchrun and its ranks are real processes, children of each other as in a pod: they
are killed, they write and they end as ever. Only `exec` and the imports, two thirds of a short job's CPU
time, are left out. What a fork cannot show (another hash seed in each rank, what an environment variable
changes while modules are imported) is shown by the tests of `llmtrain run` and by those on a cluster.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from harness.children import environment

MODULES = ("llmtrain_trainer", "llmtrain_trainer.training.rank", "torch.distributed.run")
IMPORTED = (
    *MODULES,
    "llmtrain_trainer.commands",
    "llmtrain_trainer.data.prepare",
    "llmtrain_trainer.export.export",
    "llmtrain_trainer.launch.launcher",
    "llmtrain_trainer.training.loop",
)
AT_IMPORT = {"DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
"""What the launcher gives its children, and libraries read while they are imported."""
POLL = 0.02


class Warm:
    """One process with everything imported, which forks programs on request."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._answers = ours.makefile("r")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "harness.trainer.warm", str(theirs.fileno())],
            env=environment(**AT_IMPORT),
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def start(
        self,
        module: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        errors: Path | None = None,
    ) -> Program:
        """Fork a program in a session of its own; its output is a new file, its errors are too if asked."""
        asked = {"module": module, "arguments": list(arguments), "env": dict(env), "log": str(log)}
        return Program(self, self._ask(asked | {"errors": str(errors or log)}))

    def ended(self, pid: int) -> int | None:
        """The exit code of a program as `subprocess` gives it; None while it runs."""
        code = self._ask({"ended": pid})
        return None if code == RUNS else code

    def close(self) -> None:
        """End it. Programs that still run go on."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._answers.close()
        self._socket.close()
        self._process.wait()

    def _ask(self, question: dict[str, Any]) -> int:
        self._socket.sendall(json.dumps(question).encode() + b"\n")
        return int(self._answers.readline())


RUNS = 1 << 20
"""No exit code: the program has not ended."""


class Program:
    """What `subprocess.Popen` is to a program of one's own."""

    def __init__(self, warm: Warm, pid: int) -> None:
        self._warm, self.pid = warm, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        if self.returncode is None:
            self.returncode = self._warm.ended(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not in time.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(POLL)
        return code

    def send_signal(self, number: int) -> None:
        """Signal it, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class _Forked(subprocess.Popen[bytes]):
    """`Popen` inside of such a program: one of `MODULES` is forked, and all else is executed."""

    def _execute_child(self, *given: Any) -> None:
        args, _, preexec, _, _, cwd, env = given[:7]
        pipes, start_new_session = given[10:16], given[20]
        command = list(args) if isinstance(args, list | tuple) else []
        module, rest = _module(command)
        if module is None or cwd is not None:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        _, _, _, out, _, err = pipes
        stdin = pipes[0]

        def before() -> None:
            for fd, place in ((stdin, 0), (out, 1), (err, 2)):
                if fd != -1:
                    os.dup2(fd, place)
            if start_new_session:
                os.setsid()
            if preexec:
                preexec()

        self.pid = _fork(before, module, rest, os.environ.copy() if env is None else dict(env))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def _module(command: Sequence[str]) -> tuple[str | None, list[str]]:
    """Which of `MODULES` a command line runs, and its arguments."""
    words = [os.fsdecode(word) for word in command]
    while len(words) > 1 and words[0] == sys.executable and words[1] in ("-u", "-W"):
        del words[1 : 3 if words[1] == "-W" else 2]
    if len(words) > 2 and words[0] == sys.executable and words[1] == "-m" and words[2] in MODULES:
        return words[2], words[3:]
    return None, []


def _fork(before: Callable[[], None], module: str, arguments: list[str], env: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _run(before, module, arguments, env)
    return pid


def _run(before: Callable[[], None], module: str, arguments: list[str], env: dict[str, str]) -> NoReturn:
    """What `exec` would do, as far as it can be seen from inside; never returns."""
    code = 1
    try:
        atexit._clear()
        # what the parent had open stays where it is, and must not be closed under a number used anew
        gc.freeze()
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        before()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.environ.clear()
        os.environ.update(env)
        sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(fd, "w", closefd=False), write_through=True) for fd in (1, 2)
        )
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        _threads(env)
        _paths(env)
        sys.argv = [module, *arguments]
        _fork_instead_of_exec()
        code = _code_of(module)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _fork_instead_of_exec() -> None:
    """torchrun has its own name for `Popen`."""
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    for module in (subprocess_handler, subprocess):
        vars(module)["Popen"] = _Forked


def _threads(env: Mapping[str, str]) -> None:
    """libgomp has read its variable long ago."""
    import torch

    torch.set_num_threads(int(env.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0))))


def _paths(env: Mapping[str, str]) -> None:
    """What is imported late may lie where only this program looks."""
    sys.path[:0] = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]


def _code_of(module: str) -> int:
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        traceback.print_exc()
        return 130
    return 0


def _import_everything() -> None:
    from llmtrain_trainer.imports import import_muon_uncompiled, quick_imports

    with quick_imports():
        for name in IMPORTED:
            importlib.import_module(name)
        import_muon_uncompiled()


def _serve(fd: int) -> None:
    """Fork what is asked for until nobody asks any more."""
    _import_everything()
    line = socket.socket(fileno=fd)
    for text in line.makefile("r"):
        asked = json.loads(text)
        line.sendall(b"%d\n" % (_ended(asked["ended"]) if "ended" in asked else _start(asked)))


def _ended(pid: int) -> int:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else RUNS


def _start(asked: dict[str, Any]) -> int:
    def before() -> None:
        os.setsid()
        new = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        null, log = os.open(os.devnull, os.O_RDONLY), os.open(asked["log"], new)
        errors = log if asked["errors"] == asked["log"] else os.open(asked["errors"], new)
        for fd, place in ((null, 0), (log, 1), (errors, 2)):
            os.dup2(fd, place)

    return _fork(before, asked["module"], asked["arguments"], asked["env"])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
