"""A long chain of attempts, each killed at a chosen file operation while it saves step after step.

Each attempt is a fork of this process, which imported everything once. After each kill a new attempt raises
its fence, and what it would resume from is held against what was really committed.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import random
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.saves.kill_points import MOMENTS, KillPoint
from harness.saves.small import MODEL, content_is_whole, save, saver, stand_alone, start

from llmtrain_trainer.checkpoint.manifest import newest_good
from llmtrain_trainer.checkpoint.save import STATE

KEEP, EVERY, SAVES = 2, 5, 4
COMMIT = re.compile(r".*\.attempt-.*/step-\d+ -> .*/checkpoints/step-(\d+)")


@dataclass
class KillChain:
    """The chain so far, and what must be true of it.

    Attributes:
        commits: steps whose rename has happened and that nothing has torn since, oldest first.
        kinds: how often each kind of operation was the last.
        inside: kills while a save was under way.
        outside: the others: fences raised.
        torn: checkpoints torn on purpose between two attempts.
    """

    root: Path
    attempt: int = 0
    commits: list[int] = field(default_factory=list)
    kinds: collections.Counter[str] = field(default_factory=collections.Counter)
    inside: int = 0
    outside: int = 0
    torn: int = 0

    def run(self, at: int | None, moment: str, *, background: bool) -> int:
        """One attempt. Its number of operations before the last save, when it was not to be cut."""
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            _attempt(self.root, self.attempt, at, moment, write, background=background)
        os.close(write)
        with os.fdopen(read) as pipe:
            told = [json.loads(line) for line in pipe]
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) == (at is not None), (at, status, told)
        for word in told:
            if "commit" in word:
                self._committed(word["commit"])
            if "cut" in word:
                self.kinds[word["cut"]] += 1
                self.inside += word["saving"]
                self.outside += not word["saving"]
        self.attempt += 1
        self._audit(f"after {told[-1:]}, background={background}")
        self.attempt += 1
        return int(told[-1].get("count", 0))

    def _committed(self, step: int) -> None:
        self.commits = [one for one in self.commits if one != step] + [step]

    def _audit(self, when: str) -> None:
        output = start(self.root, self.attempt).output
        there = output.committed()
        good = {step for step in there if content_is_whole(output.step(step), step)}
        found = newest_good(output, lambda *_: None)
        newest = found[0] if found else None
        assert newest == (self.commits[-1] if self.commits else None), f"{when}: {newest}, {self.commits}"
        assert set(self.commits[-KEEP:]) <= good, f"{when}: {self.commits} but only {good} are whole"
        # one more than kept, and one that was torn
        assert len(there) <= KEEP + 2, f"{when}: {there}"
        left = {p.name.split("-")[0] for p in output.checkpoints.glob(".*")}
        assert left == {".attempt"}, f"{when}: {left}"

    def tear(self, how: int) -> None:
        """Damage the newest checkpoint, when there is another one."""
        self.commits = self.commits[-KEEP:]  # older ones may be gone, and rightly
        if len(self.commits) < 2:
            return
        file = self.root / "output" / "checkpoints" / f"step-{self.commits.pop()}" / STATE / MODEL
        body = bytearray(file.read_bytes())
        body[len(body) // 2] ^= 1
        file.write_bytes(body[: len(body) // 2] if how % 2 else body)
        self.torn += 1


def _attempt(root: Path, attempt: int, at: int | None, moment: str, pipe: int, *, background: bool) -> None:
    """In the child: raise the fence, then save until the kill point. Never returns."""
    try:
        saving = False

        def tell(**word: Any) -> None:
            os.write(pipe, (json.dumps(word) + "\n").encode())

        def seen(name: str, path: str) -> None:
            match = COMMIT.fullmatch(path) if name == "rename" else None
            if match:
                tell(commit=int(match[1]))

        kill = KillPoint(at, moment, lambda kind: tell(cut=kind, saving=saving), seen)
        fence = start(root, attempt)
        found = newest_good(fence.output, lambda *_: None)
        step, files = found[0] if found else 0, saver(fence, KEEP)
        saving = True
        counts = []
        for number in range(SAVES):
            step += EVERY
            counts.append(kill.count)
            assert save(files, step, background=background, whole=number == 1) is None
        tell(count=counts[-1])  # the last save is spare: an attempt that had less to tidy up gets further
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def points(operations: int, wanted: int) -> Iterator[tuple[int, str]]:
    """Each operation before and after, in an order that is mixed the same way every time; then again."""
    chosen = list(itertools.product(range(1, operations + 1), MOMENTS))
    random.Random(0).shuffle(chosen)
    return itertools.islice(itertools.cycle(chosen), wanted)


def main(folder: str, kills: int) -> dict[str, Any]:
    """All kills, half of them while a thread writes."""
    stand_alone()
    chains = []
    for background in (False, True):
        root = Path(folder, f"background-{background}")
        chain = KillChain(root)
        for _ in range(2):  # the second one also deletes old steps
            operations = chain.run(None, "", background=background)
        for number, (at, moment) in enumerate(points(operations, kills // 2)):
            chain.run(at, moment, background=background)
            if number % 10 == 9:
                chain.tear(number // 10)
        chains.append(chain)
        shutil.rmtree(root)
    kinds = sum((chain.kinds for chain in chains), collections.Counter[str]())
    return {
        "inside": sum(s.inside for s in chains),
        "outside": sum(s.outside for s in chains),
        "torn": sum(s.torn for s in chains),
        "operations": operations,
        "kinds": dict(kinds.most_common()),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
