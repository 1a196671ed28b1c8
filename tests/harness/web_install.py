"""The web page as a platform team turns it on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from harness.cluster import ROOT


def install(*settings: str) -> None:
    """Change values of the chart that is installed, and wait until all of it is ready."""
    command = [str(ROOT / "hack" / "install"), "--reuse-values", *settings]
    done = subprocess.run(command, text=True, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def web_page() -> Iterator[None]:
    """The page, ready beside the operator."""
    install("--set", "web.enabled=true")
    try:
        yield
    finally:
        install("--set", "web.enabled=false")
