"""kill -9 of real ranks at random moments: DeepSpeed, two ranks, a save after every second step.

Ranks are forks of this process, which imported everything once and computes nothing itself. Each rank
that is to die has a child of its own that kills it, so the signal comes from outside, whatever it does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.worker import first_weights
from harness.saves.forked_ranks import WORLD, Train, asked
from harness.saves.refused import refusals

from llmtrain_api import JobFile
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.manifest import broken, newest_good
from llmtrain_trainer.checkpoint.ownership import claim

MOST = 12
"""Steps of an attempt before its kill, at most."""
LONGEST = 0.05
"""Seconds after such a step until the kill, at most: some steps, and most of a save."""


def doomed(root: Path, wanted: JobFile, resume: int | None, victim: int, steps: int, delay: float) -> None:
    """A rank's main; the victim is killed ``delay`` seconds after some steps."""
    read, write = os.pipe()
    if int(os.environ["RANK"]) == victim:
        mine = os.getpid()
        if not os.fork():
            os.close(write)
            for _ in range(steps):
                os.read(read, 1)
            time.sleep(delay)
            if os.getppid() == mine:
                os.kill(mine, signal.SIGKILL)
            os._exit(0)
    train = Train(root, wanted)
    for _ in train.run(resume):
        if train.ranks.first and train.saves.newest:  # committed, and all ranks know it
            (root / "journal").write_text(str(train.saves.newest))
        os.write(write, b".")


def main(folder: str, kills: int) -> dict[str, Any]:
    """Attempt after attempt, each killed and each going on from the one before."""
    root, dice = Path(folder), random.Random(1)
    failed = fork_each(
        1, partial(first_weights, asked(root, 0, background=True).spec, root / "initial"), root
    )
    assert failed is None, failed
    refusals(root)
    resumed: list[int] = []
    victims: Counter[int] = Counter()
    for attempt in range(kills):
        wanted = asked(root, attempt, background=attempt % 2 == 0)
        output = raise_fence(claim(wanted), wanted, f"pod{attempt}").output
        torn = {step: why for step in output.committed() if (why := broken(output.step(step)))}
        assert not torn, torn
        found = newest_good(output, lambda *_: None)
        newest = found[0] if found else None
        journal = root / "journal"
        told = int(journal.read_text() or 0) if journal.exists() else 0
        assert (newest or 0) >= told, (
            f"step {told} was committed, attempt {attempt} would start from {newest}"
        )
        resumed.append(newest or 0)
        victim, steps, delay = dice.randrange(WORLD), dice.randint(1, MOST), dice.uniform(0, LONGEST)
        said = gang(WORLD, partial(doomed, root, wanted, newest, victim, steps, delay), root / "ranks")
        assert (said or "").startswith(f"rank {victim} ended with -9"), said
        victims[victim] += 1
    return {"resumed": resumed, "victims": victims}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
