"""``make bench``: how fast the trainer's step is beside other ways to take the same step.

Every contestant is a process, or a gang of them, of its own, forked from one that has imported all. They take
turns: a few steps each in every round, so that the load of the machine hits all alike. What counts is the
median over rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# asking must not initialize CUDA, which does not survive a fork
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

import numpy as np
import torch
from bench.contestants import CONTESTANTS, EOS, SAMPLES, WITH_DEEPSPEED, Race
from bench.verdicts import GOALS, Verdict, judge

from llmtrain_api import JobSpec, layout_of, parse_spec, shape_of
from llmtrain_trainer import distributed
from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.models.build import write_initial

FORK = multiprocessing.get_context("fork")
BASE, OURS = "plain PyTorch", "llmtrain"
PATIENCE = 900.0
"""Seconds for a contestant's turn."""


def job(*, quick: bool, processes: int, batch: int) -> JobSpec:
    """The job that all run: the trainer's defaults but for the model's size and the batch."""
    small = {"hiddenSize": 64, "numLayers": 2, "vocabSize": 512}
    large = {"hiddenSize": 640, "numLayers": 8, "numHeads": 10, "vocabSize": 4096}
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return parse_spec(
        {
            "model": (small if quick else large) | {"name": "builtin://tiny-llama"},
            "dataset": {"name": "builtin://random-tokens"},
            "output": {"uri": "pvc://claim/run"},
            "training": {"globalBatchSize": batch * processes, "microBatchSize": batch},
            "resources": {"memory": "1Ti"},
        }
        | ({"gpusPerNode": processes} if gpus else {"processesPerNode": processes}),
        strict=True,
    )


@dataclass(frozen=True)
class Took:
    """Seconds of a round: on the clock, and of the CPU by all processes."""

    wall: float
    cpu: float


class Gang:
    """One contestant's processes."""

    def __init__(self, name: str, race: Race, log: Path) -> None:
        self.name, self.log = name, log
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.ends: list[Connection] = []
        self.processes: list[BaseProcess] = []
        world = race.spec.world_size
        for rank in range(world):
            mine, theirs = FORK.Pipe()
            environment: dict[str, Any] = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": world,
                "LOCAL_WORLD_SIZE": world,
            }
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            one = FORK.Process(target=_run, args=(name, race, theirs, environment, log), daemon=True)
            one.start()
            theirs.close()
            self.ends.append(mine)
            self.processes.append(one)

    def turn(self, steps: int) -> Took:
        """So many steps of all processes.

        Raises:
            RuntimeError: a process died, or none answered in time.
        """
        for end in self.ends:
            end.send(steps)
        return self._answer()

    def ready(self) -> None:
        """Wait until all are about to take their first step."""
        self._answer()

    def _answer(self) -> Took:
        answers = []
        try:
            for end in self.ends:
                if not end.poll(PATIENCE):
                    raise EOFError
                answers.append(end.recv())
        except EOFError:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} did not finish its turn:\n{tail}") from None
        return Took(max(one.wall for one in answers), sum(one.cpu for one in answers))

    def end(self) -> None:
        """Kill its processes: they hold nothing that is worth keeping."""
        for one in self.processes:
            one.kill()
            one.join()


def _run(name: str, race: Race, end: Connection, environment: dict[str, Any], log: Path) -> None:
    """A process of a contestant."""
    os.environ.update({key: str(value) for key, value in environment.items()})
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    ranks = _ranks(name, race.spec.world_size)
    threads = race.threads or max(1, (os.cpu_count() or 1) // ranks.world)
    CONTESTANTS[name](race, ranks, _turn(end, ranks.device, threads))


def _ranks(name: str, world: int) -> Ranks:
    """Alone, only what is built on DeepSpeed needs a process group: with one, Trainer would use DDP."""
    if world > 1 or name in WITH_DEEPSPEED:
        return distributed.join()
    return Ranks(0, 1, 0, torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"))


def _turn(end: Connection, device: torch.device, threads: int) -> Callable[[], None]:
    """Counts steps; at the end of a turn tells what it took, and waits for the next."""
    left, began = 0, Took(time.perf_counter(), time.process_time())

    def turn() -> None:
        nonlocal left, began
        if left == 0:
            if device.type == "cuda":
                torch.cuda.synchronize()
            end.send(Took(time.perf_counter() - began.wall, time.process_time() - began.cpu))
            left = end.recv()
            torch.set_num_threads(threads)  # at each turn, as libraries have their own opinion
            began = Took(time.perf_counter(), time.process_time())
        left -= 1

    return turn


def compete(race: Race, names: list[str], rounds: int, steps: int) -> dict[str, list[Took]]:
    """What each took in each round. A first round of one step is not counted."""
    gangs = [Gang(name, race, race.scratch / f"{number}.log") for number, name in enumerate(names)]
    took: dict[str, list[Took]] = {name: [] for name in names}
    try:
        for gang in gangs:
            gang.ready()
            gang.turn(1)
        for number in range(rounds):
            # not always the same one after the same one
            for gang in gangs[number % len(gangs) :] + gangs[: number % len(gangs)]:
                took[gang.name].append(one := gang.turn(steps))
                said = f"round {number + 1}, {gang.name}: {one.wall:.2f} s, CPU {one.cpu:.2f} s"
                print(said, file=sys.stderr, flush=True)
    finally:
        for gang in gangs:
            gang.end()
    return took


def summary(took: dict[str, list[Took]], tokens: int) -> list[dict[str, Any]]:
    """A line a contestant.

    Args:
        took: a round's seconds.
        tokens: of a round.
    """
    found = []
    for name, rounds in took.items():
        pairs = list(zip(took[BASE], rounds, strict=True))
        found.append(
            {
                "name": name,
                "tokensPerSecond": statistics.median(tokens / one.wall for one in rounds),
                "ratio": statistics.median(base.wall / one.wall for base, one in pairs),
                "cpuRatio": statistics.median(base.cpu / one.cpu for base, one in pairs),
                "worst": min(base.wall / one.wall for base, one in pairs),
                "best": max(base.wall / one.wall for base, one in pairs),
            }
        )
    return found


def verdicts(took: dict[str, list[Took]], *, alone: bool) -> list[Verdict]:
    """What came of the goals whose contestants took part.

    Args:
        took: a round's seconds.
        alone: whether each contestant is one process.
    """
    ours = [one.cpu for one in took.get(OURS, [])]
    goals = [goal for goal in GOALS[alone] if ours and goal.other in took]
    return [judge(goal, ours, [one.cpu for one in took[goal.other]]) for goal in goals]


def main() -> int:
    """Run the races and print their tables."""
    parser = argparse.ArgumentParser(prog="make bench", description="The trainer's step beside others.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each contestant (default 9)")
    parser.add_argument("--steps", type=int, default=2, help="steps a turn (default 2)")
    parser.add_argument("--batch", type=int, default=4, help="sequences of 128 tokens a process (default 4)")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2], help="races (default 1 2)")
    parser.add_argument("--threads", type=int, help="of each process (default: cores / processes)")
    parser.add_argument("--only", nargs="*", choices=list(CONTESTANTS), default=list(CONTESTANTS))
    parser.add_argument("--quick", action="store_true", help="a tiny model: shows that it runs, not how fast")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    written: list[dict[str, Any]] = []
    for processes in options.processes:
        if gpus and processes > gpus:
            print(f"{processes} processes: left out, there are {gpus} GPUs")
            continue
        spec = job(quick=options.quick, processes=processes, batch=options.batch)
        with tempfile.TemporaryDirectory() as scratch:
            race = _race(spec, Path(scratch), options.threads)
            names = [name for name in CONTESTANTS if name in {BASE, *options.only}]
            took = compete(race, names, options.rounds, options.steps)
        tokens = options.steps * spec.training.global_batch_size * spec.training.sequence_length
        lines = summary(took, tokens)
        _say(spec, lines, took)
        found = verdicts(took, alone=processes == 1)
        for verdict in found:
            print(verdict, flush=True)
        written.append(
            {
                "processes": processes,
                "layout": str(layout_of(shape_of(spec), spec)),
                "lines": lines,
                "verdicts": [str(verdict) for verdict in found],
            }
        )
    if options.json:
        options.json.write_text(json.dumps(written, indent=1) + "\n")
    return 0


def _race(spec: JobSpec, scratch: Path, threads: int | None) -> Race:
    """Weights and rows."""
    folder = scratch / "model"
    arguments = (spec, shape_of(spec), EOS, folder)
    maker = FORK.Process(target=write_initial, args=arguments)  # which computes: not to be forked
    maker.start()
    maker.join()
    ids = np.random.default_rng(7).integers(
        40, spec.model.vocabulary, (SAMPLES, spec.training.sequence_length)
    )
    return Race(spec, folder, ids.astype(np.uint16), scratch, threads)


def _say(spec: JobSpec, lines: list[dict[str, Any]], took: dict[str, list[Took]]) -> None:
    shape = shape_of(spec)
    millions = shape.parameters / 1e6
    where = "GPU" if spec.gpus_per_node else f"CPU, {os.cpu_count()} cores"
    rounds = len(next(iter(took.values())))
    gang = f"{spec.world_size} processes, {layout_of(shape, spec)}"
    print(f"\n{millions:.1f}M parameters, {gang}, {where}, {rounds} rounds")
    print(f"{'':24}{'CPU time':>10}{'tokens/s':>10}{'ratio':>8}{'spread':>14}")
    for one in lines:
        spread = f"{one['worst']:.2f}-{one['best']:.2f}"
        print(
            f"{one['name']:24}{one['cpuRatio']:10.2f}{one['tokensPerSecond']:10.0f}{one['ratio']:8.2f}"
            f"{spread:>14}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
