"""Running other programs to their end, with errors that show what they said."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from barecluster.console import ClusterError

Words = Sequence[str | Path]


def run(
    *words: str | Path,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
) -> str:
    """Run a program and return what it printed; raise ClusterError when it fails or takes too long."""
    argv = [str(word) for word in words]
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{argv[0]} is not installed: run `hack/cluster install`") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"`{' '.join(argv)}` took more than {timeout:.0f} s") from error
    if done.returncode:
        raise ClusterError(_failure(argv, done.returncode, done.stderr or done.stdout))
    return done.stdout


def attempt(*words: str | Path, env: Mapping[str, str] | None = None, timeout: float = 30) -> str | None:
    """Run a program whose failure is an answer: what it printed, or None."""
    try:
        return run(*words, env=env, timeout=timeout)
    except ClusterError:
        return None


def run_logged(
    words: Words,
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 3600,
) -> None:
    """Run a long program with its output in `log`; a failure shows the log's end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [str(word) for word in words]
    with log.open("w") as out:
        try:
            done = subprocess.run(
                argv,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            message = f"`{argv[0]}` took more than {timeout:.0f} s; {log} ends:\n{tail(log)}"
            raise ClusterError(message) from error
    if done.returncode:
        raise ClusterError(_failure(argv, done.returncode, f"{tail(log, 30)}\n(all of it: {log})"))


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented to stand out."""
    if not log.exists():
        return f"    ({log} does not exist)"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 32_768))
        text = file.read().decode(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line[:400]}" for line in text) or "    (empty)"


def _failure(argv: Sequence[str], code: int, said: str) -> str:
    shown = " ".join(argv)
    return f"`{shown[:300]}` exited {code}:\n{said.strip()[-4000:]}"
