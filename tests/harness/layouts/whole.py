"""A whole job in a forked gang: prepare, train, export; the launcher's steps without its processes."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path
from typing import Any

from harness.builders import job
from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.worker import share_compiled
from harness.trainer.cards import require_card

from llmtrain_api import JobFile
from llmtrain_trainer import distributed
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.checkpoint.resume import choose
from llmtrain_trainer.data.prepare import prepare
from llmtrain_trainer.data.store import fingerprints, read_marker
from llmtrain_trainer.export.export import export
from llmtrain_trainer.storage.start_marker import Start
from llmtrain_trainer.telemetry.startup import Startup
from llmtrain_trainer.training.loop import Training
from llmtrain_trainer.training.votes import StopRequest


def small_job(root: Path, attempt: int = 0, **changes: Any) -> JobFile:
    """Two ranks, twelve steps, a batch that does not divide."""
    usual: dict[str, Any] = {
        "dataset": {"name": "builtin://random-tokens", "maxBytes": 200_000},
        "training": {"maxSteps": 12, "globalBatchSize": 5, "microBatchSize": 2, "sequenceLength": 32},
        "checkpoint": {"everySteps": 5},
        "evaluation": {"everySteps": 0, "maxSequences": 13},
    }
    merged = {key: usual.get(key, {}) | changes.get(key, {}) for key in usual}
    rest = {key: value for key, value in changes.items() if key not in usual}
    return job(root / "output", attempt=attempt, **merged, **rest)


def start(asked: JobFile, log: Path) -> Start:
    """Claim, fence, prepare what is missing, choose the checkpoint."""
    fence = raise_fence(claim(asked), asked, f"pod{asked.attempt}")
    if not fence.output.data.exists():
        error = fork_each(1, partial(_prepare, asked, fence.folder / "data"), log)
        assert error is None, error
        fence.commit("data", fence.output.data)
    fence.output.logs(asked.attempt).mkdir(parents=True, exist_ok=True)
    marker = read_marker(fence.output.data)
    assert marker is not None
    prints = fingerprints(asked, marker)
    return Start(fence, choose(fence.output, asked, prints, lambda *_: None), prints)


def train(asked: JobFile, begun: Start) -> None:
    """One rank, in a forked process."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    marker = read_marker(begun.output.data)
    assert marker is not None
    share_compiled(begun.output.root)
    ranks = distributed.join()
    Training(asked, begun, ranks, marker, Startup()).run(StopRequest())
    distributed.leave()


def run(asked: JobFile, root: Path) -> Start:
    """The whole job.

    Raises:
        AssertionError: with what the ranks said.
    """
    begun = start(asked, root / "log")
    error = gang(asked.spec.world_size, partial(train, asked, begun), root / "ranks")
    assert error is None, error
    error = fork_each(1, partial(_export, asked, begun), root / "export-log")
    assert error is None, error
    require_card(begun.output.export)
    return begun


def _prepare(asked: JobFile, folder: Path, _rank: int) -> None:
    prepare(asked, folder)


def _export(asked: JobFile, begun: Start, _rank: int) -> None:
    export(asked, begun)
