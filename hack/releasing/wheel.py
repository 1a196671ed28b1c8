"""The wheel of our packages, built offline by what the environment has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .errors import ReleaseError
from .source import Source


def build(source: Source, target: Path) -> Path:
    """Build it into a folder; the same bytes each time.

    Raises:
        ReleaseError: pip could not.
    """
    words = [
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--no-cache-dir",
        "--disable-pip-version-check",
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            *words,
            "--wheel-dir",
            str(target),
            str(source.folder),
        ],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(source.epoch)},
        text=True,
        capture_output=True,
        umask=0o022,
        check=False,
    )
    wheels = list(target.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ReleaseError(f"pip built no wheel: {(done.stderr or done.stdout).strip()}")
    return wheels[0]
