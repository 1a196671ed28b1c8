"""Cause failures in one rank of a real gang: ``python -m harness.failures.gangs FOLDER NAME...``

The ranks meet by gloo and sum numbers again and again, until one of them fails; so the others fail too, as
their sums do not come. Who is still there a moment later is stopped, as torchrun stops what is left, and the
summary names those that had ended before. Each rank is a fork of this process, which has imported torch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from harness.builders import job
from harness.failures import causes, servers
from harness.failures.labels import LABELS
from harness.failures.run import begun
from harness.ports import free_port
from llmtrain_api import JobFile
from llmtrain_trainer.training import rank

RANKS = 3
SUMS_BEFORE = 3
LOOK_EVERY = 0.1
"""Seconds between torchrun's looks at its workers."""
OF_A_GANG = frozenset(
    {"a_port_is_taken", "nobody_listens", "a_store_has_no_such_key", "a_rank_does_not_come", "a_rank_dies"}
)
"""Failures that need a gang of their own to come about."""
NAMES = tuple(name for name in LABELS if name not in OF_A_GANG)
LINE = "  rank      : {rank} (local_rank: {rank})\n  exitcode  : {code} (pid: 1)\n"
"""As torchrun tells how a rank ended."""


def asked(folder: Path) -> JobFile:
    """The job of which one rank fails."""
    return job(folder / "output", processesPerNode=RANKS, training={"maxSteps": 1, "globalBatchSize": 24})


def guilty(name: str) -> int:
    """The rank that fails: another one with each name, so that no rule about numbers is right."""
    return NAMES.index(name) % RANKS


def main() -> None:
    """Cause all of them, one after the other."""
    for name, folder in begun(asked):
        (folder / "torchrun.log").write_text(_gang(name, folder))


def _gang(name: str, folder: Path) -> str:
    """Run a gang to its end. Returns what torchrun would say of it."""
    port, pids = free_port(), []
    for number in range(RANKS):
        pid = os.fork()
        if pid == 0:
            _be(number, name, folder, port)
        pids.append(pid)
    ended: dict[int, int] = {}
    while not any(ended.values()):
        time.sleep(LOOK_EVERY)
        ended |= _ended(pids, ended)
    for number, pid in enumerate(pids):
        if number not in ended:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
    return "".join(LINE.format(rank=number, code=code) for number, code in sorted(ended.items()) if code)


def _ended(pids: list[int], known: dict[int, int]) -> dict[int, int]:
    found = {}
    for number, pid in enumerate(pids):
        if number not in known:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                found[number] = os.waitstatus_to_exitcode(status)
    return found


def _be(number: int, name: str, folder: Path, port: int) -> NoReturn:
    """Be a rank of the gang."""
    os.setsid()
    own = folder / f"rank-{number}"
    own.mkdir()
    os.chdir(own)
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(RANKS),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    vars(rank)["_train"] = lambda *_: _sum(name if number == guilty(name) else None)
    vars(rank)["die_with_parent"] = lambda: None
    code = 1
    with contextlib.suppress(BaseException):
        code = rank.main([str(folder / "job.json")])
    os._exit(code)


def _sum(name: str | None) -> None:
    """Sum with the others, and fail after a few sums; without a name only as they do."""
    import torch
    import torch.distributed as dist

    dist.init_process_group("gloo")
    done = 0
    while True:
        dist.all_reduce(torch.ones(1))
        done += 1
        if name is not None and done == SUMS_BEFORE:
            cause = getattr(causes, name, None) or getattr(servers, name)
            cause()


if __name__ == "__main__":
    main()
