"""Saves two steps in a folder, one in the loop and one beside it, for strace to watch."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.saves.small import save, saver, stand_alone, start

if __name__ == "__main__":
    stand_alone()
    files = saver(start(Path(sys.argv[1])), keep=1)
    for step, background in ((5, False), (10, True)):
        error = save(files, step, background=background, whole=True)
        assert error is None, error
