"""The environment of a program that a test starts: it finds this checkout's packages as the test does."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("crds", "operator", "trainer_image", "hack", "tests")
PYTHONPATH = os.pathsep.join(str(ROOT / folder) for folder in FOLDERS)


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with this checkout's packages in front."""
    return {**os.environ, "PYTHONPATH": PYTHONPATH, **changes}
