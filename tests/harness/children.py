"""Programs that a test starts: an environment with this checkout's packages, and which of them run."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("crds", "operator", "trainer_image", "hack", "tests")
PYTHONPATH = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with this checkout's packages in front."""
    return {**os.environ, "PYTHONPATH": PYTHONPATH, **changes}


def processes(*words: str) -> list[int]:
    """Processes that have all these words in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(word in command for word in words):
            found.append(int(path.name))
    return found
