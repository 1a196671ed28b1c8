"""A process that imports torch, DeepSpeed and transformers once and forks the ranks of each proof."""

from __future__ import annotations

import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from harness.ports import free_port

DEADLINE = 120.0


def fork_each(count: int, main: Callable[[int], object], folder: Path) -> str | None:
    """Run ``main(rank)`` in ``count`` forked processes; what went wrong, if anything did."""
    folder.mkdir(parents=True, exist_ok=True)
    pids = [_fork(rank, main, folder / f"log-{rank}") for rank in range(count)]
    until, failed, left = time.monotonic() + DEADLINE, None, set(pids)
    while left and time.monotonic() < until and failed is None:
        for pid in list(left):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                left.discard(pid)
                if status:
                    failed = f"rank {pids.index(pid)} ended with {os.waitstatus_to_exitcode(status)}"
        time.sleep(0.005)
    if left:
        failed = failed or f"not done in {DEADLINE:.0f} s"
        time.sleep(0.3)
        for pid in left:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
    if failed is None:
        return None
    tails = [(folder / f"log-{rank}").read_text(errors="replace")[-1500:] for rank in range(count)]
    return "\n".join([failed, *tails])


def _fork(rank: int, main: Callable[[int], object], log: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        warnings.simplefilter("ignore")  # pytest makes errors of what DeepSpeed's own calls warn of
        torch.set_num_threads(1)  # more threads than cores would only wait for each other
        main(rank)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def gang(world: int, main: Callable[[], object], folder: Path) -> str | None:
    """Run ``main`` as the ranks of a gang, with torchrun's environment."""
    port = free_port()

    def one(rank: int) -> None:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(world),
            LOCAL_WORLD_SIZE=str(world),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        main()

    return fork_each(world, one, folder)
