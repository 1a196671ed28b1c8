"""What only kubectl does: reach into a pod, forward a port."""

from __future__ import annotations

import subprocess

from llmtrain.errors import Failed, Mistake


def of_context(context: str | None) -> list[str]:
    """The command, for a context of the kubeconfig or for its current one."""
    return ["kubectl", *(["--context", context] if context else [])]


def said(command: list[str], without: str) -> str:
    """What a command prints.

    Args:
        command: see `of_context`.
        without: what helps where kubectl is not installed.

    Raises:
        Mistake: it is not.
        Failed: the command failed, in its own words.
    """
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
    except FileNotFoundError:
        raise Mistake(f"kubectl is not here{without}") from None
    if done.returncode:
        raise Failed(done.stderr.strip() or f"{' '.join(command)} failed")
    return done.stdout
