"""How long a save holds the training loop: beside it (checkpoint.async) against in it, in one run.

``python -m bench.save_stall [FOLDER] [SAVES]``: one CPU process, a Llama of about 84M parameters, its
weights and AdamW's state (1 GB) saved by turns in both ways with a step of training in between.
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

import torch
from bench.jobs import job_of

from llmtrain_api import JobFile
from llmtrain_trainer import distributed
from llmtrain_trainer.batch import BatchPlan
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.manifest import StepFacts
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.checkpoint.save import Checkpointer, Votes
from llmtrain_trainer.checkpoint.store import FolderCheckpointStore
from llmtrain_trainer.distributed import Ranks
from llmtrain_trainer.models.build import write_initial
from llmtrain_trainer.parallel.apply import build
from llmtrain_trainer.parallel.engine import Engine

SPEC = {
    "model": {
        "name": "builtin://tiny-llama",
        "hiddenSize": 512,
        "numLayers": 18,
        "numHeads": 8,
        "vocabSize": 8192,
    },
    "dataset": {"name": "builtin://random-tokens"},
    "training": {"maxSteps": 100, "globalBatchSize": 1, "microBatchSize": 1, "sequenceLength": 32},
}


def step(engine: Engine) -> None:
    """One step on the same few tokens: saves are measured, not training."""
    ids = torch.arange(32, device=engine.raw.device).unsqueeze(0)
    engine.forward_backward([({"input_ids": ids}, ids)], 31)
    engine.step()


def wait() -> None:
    """Until a GPU, if there is one, has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def timed(files: Checkpointer, engine: Engine, number: int, *, background: bool) -> tuple[float, float]:
    """Seconds that the loop stood still, and until the commit. The loop trains meanwhile."""
    wait()  # for the step before, which is no part of the save
    began = time.monotonic()
    settled = files.start(engine, StepFacts(step=number), background=background)
    if not background:
        settled = files.finish()
    stall = time.monotonic() - began
    while settled is None:
        step(engine)
        wait()
        before = time.monotonic()
        settled = files.count(Votes(*distributed.all_reduce_sum(files.ranks, *files.votes())))
        stall += time.monotonic() - before
    assert settled.error is None, settled.error
    return stall, time.monotonic() - began


def stalls(job: JobFile, ranks: Ranks, engine: Engine, saves: int) -> dict[str, Any]:
    """Saves by turns in both ways; what they cost."""
    fence = raise_fence(claim(job), job, "bench")
    files = Checkpointer(fence, ranks, job.layout, {}, FolderCheckpointStore(fence, ranks, 1))
    step(engine)  # AdamW's state exists after the first one
    times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    for number in range(1, 2 * saves + 1):
        background = number % 2 == 0
        times[background].append(timed(files, engine, number, background=background))
    size = sum(p.stat().st_size for p in files.fence.output.step(2 * saves).rglob("*") if p.is_file())
    stall = {way: statistics.median(one for one, _ in pairs) for way, pairs in times.items()}
    return {
        "parameters": job.shape.parameters,
        "megabytes": round(size / 1e6),
        "saves each": saves,
        "stall in the loop, s": round(stall[False], 3),
        "stall beside it, s": round(stall[True], 3),
        "ratio": round(stall[False] / stall[True], 1),
        "of a minute, %": round(stall[True] / 60 * 100, 2),
        "until the commit beside it, s": round(statistics.median(t for _, t in times[True]), 3),
    }


def main(folder: Path, saves: int) -> None:
    """Both ways by turns."""
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    os.environ.setdefault("MASTER_PORT", "29517")
    job = job_of(SPEC, folder)
    spec, shape = job.spec, job.shape
    write_initial(spec, shape, 0, folder / "initial")
    ranks = distributed.join()
    engine, _ = build(
        folder / "initial", spec, shape, job.layout, job.layout.place(0), BatchPlan(1, 1, 1), 100
    )
    print(json.dumps(stalls(job, ranks, engine, saves)))
    distributed.leave()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary), int((sys.argv[2:] or ["5"])[0]))
