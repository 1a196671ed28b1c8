"""How fast a checkpoint is held against its digests: by one thread and by several, in turns.

``python -m bench.verify [MEGABYTES] [THREADS] [ROUNDS]``: a file as a save writes it, in the page cache, so
that hashing is what takes the time. What counts is the median over rounds of the ratio within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llmtrain_trainer.digests import first_fault, pieces_of
from llmtrain_trainer.sink import Sink

BLOCK = 8 << 20


def written(path: Path, size: int) -> dict[str, Any]:
    """The line of a file that a save would write."""
    with Sink(path) as sink:
        for _ in range(size // BLOCK):
            sink.write(os.urandom(BLOCK))
        return sink.sync()


def seconds(path: Path, line: dict[str, Any], threads: int) -> float:
    """Of one verification."""
    began = time.monotonic()
    assert first_fault(pieces_of(path, path.name, line), threads) is None
    return time.monotonic() - began


def main(megabytes: int, threads: int, rounds: int) -> dict[str, Any]:
    """Both by turns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "optim_states.pt")
        line = written(path, megabytes << 20)
        seconds(path, line, threads)  # into the page cache
        pairs = [(seconds(path, line, 1), seconds(path, line, threads)) for _ in range(rounds)]
    return {
        "megabytes": megabytes,
        "threads": threads,
        "one thread, s": round(statistics.median(one for one, _ in pairs), 3),
        "all threads, s": round(statistics.median(several for _, several in pairs), 3),
        "ratio": round(statistics.median(several / one for one, several in pairs), 2),
        "ratios": [round(several / one, 2) for one, several in pairs],
    }


if __name__ == "__main__":
    asked = [int(word) for word in sys.argv[1:4]]
    print(json.dumps(main(*(asked + [512, 2, 5][len(asked) :]))))
