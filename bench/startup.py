"""From the launcher of a pod to the first optimizer step, beside torchrun alone with the same ranks.

``python -m bench.startup [ROUNDS] [RANKS]``: data are prepared, and each start is a new attempt of one job.
Both take turns. What counts is the median over rounds of the ratio within a round: seconds on the clock, and
of the CPU by all processes. What a cluster adds before the launcher is told by `bench.recovery`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.jobs import job_of

from llmtrain_api import JobFile
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.launch.torchrun import torchrun_command
from llmtrain_trainer.output import Output
from llmtrain_trainer.storage.start_marker import Start

PATIENCE = 300.0
"""Seconds until a start has failed."""
LOOK = 0.02
IMPORTS = """
import resource
from llmtrain_trainer.imports import import_muon_uncompiled, quick_imports
with quick_imports():
    import llmtrain_trainer.training.loop, llmtrain_trainer.training.range_test
    import_muon_uncompiled()
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""
"""What a rank does before anything of its job, as `training.rank` does it, and its CPU seconds so far."""
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Took:
    """Seconds until the first step: on the clock, and of the CPU by all processes."""

    wall: float
    cpu: float


def job(folder: Path, attempt: int, ranks: int) -> JobFile:
    """An attempt of a tiny job that trains for ever."""
    wanted = {
        "model": {"name": "builtin://tiny-llama"},
        "dataset": {"name": "builtin://random-tokens"},
        "training": {"maxSteps": 10_000_000, "globalBatchSize": ranks, "microBatchSize": 1},
        "checkpoint": {"everySteps": 10_000_000},
        "processesPerNode": ranks,
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return job_of(wanted, folder, attempt=attempt, port=port)


def launcher(_: JobFile, path: Path) -> list[str]:
    """The command of a pod."""
    return [sys.executable, "-W", "ignore", "-m", "llmtrain_trainer", "launch", str(path)]


def bare(asked: JobFile, path: Path) -> list[str]:
    """torchrun with the same ranks: what the launcher does before them is done already."""
    Start(raise_fence(claim(asked), asked, "bench"), None, {}).publish()
    return torchrun_command(asked, 0, "-m", "llmtrain_trainer.training.rank", str(path))


def started(asked: JobFile, folder: Path, command: Callable[[JobFile, Path], list[str]]) -> Took:
    """Start an attempt, wait for its first step, and end it.

    Raises:
        RuntimeError: it ended, or took no step in time.
    """
    path, log = folder / f"job-{asked.attempt}.json", folder / f"{asked.attempt}.log"
    path.write_text(asked.model_dump_json(by_alias=True))
    words = command(asked, path)
    environment = os.environ | {"LLMTRAIN_TERMINATION_LOG": str(folder / "end"), "LLMTRAIN_METRICS_PORT": "0"}
    steps = Output(Path(asked.output)).rank_log(asked.attempt, 0)
    began = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, env=environment, start_new_session=True)
    try:
        while not (steps.exists() and '"event": "step"' in steps.read_text()):
            if process.poll() is not None or time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"{words[-1]} took no step:\n{log.read_text()[-2000:]}")
            time.sleep(LOOK)
        return Took(time.monotonic() - began, cpu_of(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def imports() -> float:
    """CPU seconds of a rank's imports, from the start of Python on."""
    command = [sys.executable, "-W", "ignore", "-c", IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def cpu_of(top: int) -> float:
    """CPU seconds of a process and all below it, and of those that they waited for."""
    parents, spent = dict[int, int](), dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        own = int(stat.parent.name)
        parents[own], spent[own] = int(fields[1]), sum(map(int, fields[11:15]))
    return sum(ticks for pid, ticks in spent.items() if _below(pid, top, parents)) / TICKS


def _below(pid: int, top: int, parents: dict[int, int]) -> bool:
    while pid and pid != top:
        pid = parents.get(pid, 0)
    return pid == top


def main() -> int:
    """Both by turns, and the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=7, help="starts of each (default 7)")
    parser.add_argument("ranks", nargs="?", type=int, default=2, help="processes (default 2)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        started(job(folder, 0, options.ranks), folder, launcher)  # prepares data, and warms the page cache
        pairs, imported = [], []
        for number in range(options.rounds):
            ours = started(job(folder, 2 * number + 1, options.ranks), folder, launcher)
            alone = started(job(folder, 2 * number + 2, options.ranks), folder, bare)
            pairs.append((ours, alone))
            imported.append(imports())
            print(f"round {number + 1}: {ours}, alone {alone}", file=sys.stderr, flush=True)
    told = {
        "ranks": options.ranks,
        "imports of a rank, CPU s": round(statistics.median(imported), 2),
        "launcher, s": round(statistics.median(ours.wall for ours, _ in pairs), 2),
        "torchrun alone, s": round(statistics.median(alone.wall for _, alone in pairs), 2),
        "ratio": round(statistics.median(ours.wall / alone.wall for ours, alone in pairs), 2),
        "launcher, CPU s": round(statistics.median(ours.cpu for ours, _ in pairs), 2),
        "torchrun alone, CPU s": round(statistics.median(alone.cpu for _, alone in pairs), 2),
        "CPU ratio": round(statistics.median(ours.cpu / alone.cpu for ours, alone in pairs), 2),
    }
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
