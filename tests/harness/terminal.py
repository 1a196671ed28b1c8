"""Types commands of `llmtrain` as a person does, each at a terminal of its own.

A process that has loaded everything stands by and forks for each command: what a command loads is paid once.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.children import environment

LOADED = ("kubernetes.config", "rich.console", "yaml", "llmtrain.kubernetes_backend", "llmtrain.client")
COLUMNS = "200"


class Terminals:
    """Begins the process that stands by; `close` ends it.

    Args:
        folder: in which commands are typed.
        variables: of their environment.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        env = environment(**variables, TERM="xterm-256color", COLUMNS=COLUMNS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.terminal"],
            env=env,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def types(self, *words: str, code: int = 0, **variables: str) -> str:
        """What a command prints, both outputs together.

        Args:
            words: of the command, without ``llmtrain``.
            code: that it must end with.
            variables: of its environment alone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"words": words, "variables": variables}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["code"] == code, answer["told"]
        told: str = answer["told"].replace("\r\n", "\n")
        return told

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0


def at_a_terminal(words: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """Run one command in a fork at a terminal of its own: its exit code and what it printed."""
    pid, terminal = pty.fork()
    if pid == 0:
        from llmtrain.cli.app import main

        os.environ.update(variables)
        # whoever forks may have put others in their places
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        code = 70
        try:
            code = main(words)
        finally:
            # nothing of the process that stands by is to be ended
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)
    told = b""
    # the other side is gone when the command has ended
    with contextlib.suppress(OSError):
        while some := os.read(terminal, 1 << 16):
            told += some
    os.close(terminal)
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "told": told.decode(errors="replace")}


def stand_by() -> None:
    """A command a line, until there are no more."""
    from importlib import import_module

    for name in LOADED:
        import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(at_a_terminal(asked["words"], asked["variables"])), flush=True)


if __name__ == "__main__":
    stand_by()
