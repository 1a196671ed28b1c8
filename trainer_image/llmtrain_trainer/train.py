"""The training loop: fetch -> forward/backward -> step -> log -> evaluate -> save."""

from __future__ import annotations

import signal
import time
from typing import Any

import torch

from llmtrain_api import JobFile

from . import distributed, log
from .attempt import Start
from .batch import BatchPlan, Length
from .checkpoint.save import Checkpointer, load
from .data.loader import Batches, open_held_out, open_train
from .data.store import INITIAL, Marker
from .distributed import Ranks
from .engine import build, forward_backward
from .errors import Interrupted
from .evaluate.heldout import loss_sum
from .files import write_json
from .models.build import DTYPES
from .models.build import load as load_model
from .optimizer import StepGuard
from .telemetry.progress import Progress, StepResult


class StopRequest:
    """Set by SIGTERM. Acted on only when all ranks agree, as a save needs all of them."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


class Training:
    """One rank's part of one attempt."""

    def __init__(self, job: JobFile, start: Start, ranks: Ranks, marker: Marker) -> None:
        training = job.spec.training
        self.job, self.start, self.ranks = job, start, ranks
        rows = open_train(start.output.data, marker)
        self.length = Length(len(rows), training.global_batch_size, training.max_steps, training.epochs)
        self.plan = BatchPlan(training.global_batch_size, training.micro_batch_size, ranks.world)
        self.batches = Batches(rows, self.plan, self.length, training.seed)
        self.held_out = open_held_out(start.output.data)
        model = load_model(start.output.data / INITIAL, torch.float32)
        self.engine, decayed = build(model, training, self.plan, self.length.steps)
        self.checkpoints = Checkpointer(start.fence, ranks, start.fingerprints, job.spec.checkpoint.keep)
        logs = start.output.logs(job.attempt)
        self.progress = Progress(job, self.length, ranks.first, ranks.local_rank == 0, logs)
        self.guard = StepGuard()
        self.losses: dict[str, float | None] = {"trainLoss": None, "evalLoss": None}
        parameters = sum(p.numel() for p in model.parameters())
        log.get().info("engine built", world=ranks.world, accumulation=self.plan.accumulation,
                       micro=self.plan.micro, parameters=parameters, decayed=decayed,
                       dtype=str(DTYPES[training.precision]))  # fmt: skip

    def run(self, stop: StopRequest) -> None:
        """Train to the end, or until all ranks agree to stop."""
        done = self.start.resume or 0
        if self.start.resume is not None:
            load(self.engine, self.start.output.step(done))
        self.progress.resumed(done)
        every = self.job.spec.evaluation.every_steps
        while done < self.length.steps:
            batch = self.batches.at(done, self.ranks.rank, self.ranks.device)
            labels, stopping = distributed.agree(self.ranks, batch.labels, stop=stop.asked)
            if stopping:
                self.save(done)
                raise Interrupted(f"asked to stop; saved at step {done}")
            rate = self.engine.get_lr()[0]
            own = forward_backward(self.engine, batch, labels, self.plan)
            self.engine.step()
            done += 1
            self.note(done, float(own), labels, rate)
            if every and done % every == 0 and done < self.length.steps:
                self.evaluate(done)
            if done % self.job.spec.checkpoint.every_steps == 0 and done < self.length.steps:
                self.save(done)
        self.evaluate(done)
        self.save(done)
        self.progress.close()

    def note(self, step: int, own_loss: float, labels: int, rate: float) -> None:
        """Agree on the step's loss and say it."""
        [loss] = distributed.total(self.ranks, own_loss / labels)
        norm = self.engine.get_global_grad_norm()
        applied = bool(self.engine.was_step_applied())
        self.losses["trainLoss"] = loss
        self.progress.step(
            StepResult(step, loss, rate, None if norm is None else float(norm), labels, applied)
        )
        self.guard.saw(step, applied=applied)

    def evaluate(self, step: int) -> None:
        """Held-out loss: every rank its share, weighted by tokens."""
        self.progress.evaluating()
        rank, ranks = self.ranks.rank, self.ranks.world
        share = loss_sum(
            self.engine.module, self.held_out, self.plan.micro, self.ranks.device, rank=rank, ranks=ranks
        )
        losses, tokens = distributed.total(self.ranks, *share)
        self.losses["evalLoss"] = losses / tokens
        self.progress.evaluated(step, losses / tokens)
        if self.ranks.first and step == self.length.steps:
            record: dict[str, Any] = {"step": step, "loss": losses / tokens, "tokens": int(tokens)}
            write_json(self.start.output.evaluation, record | {"trainLoss": self.losses["trainLoss"]})

    def save(self, step: int) -> None:
        """Save a checkpoint, all ranks together."""
        began = time.monotonic()
        written = self.checkpoints.save(self.engine, step, self.length.consumed(step), self.losses)
        self.progress.committed(step, time.monotonic() - began, written=written)
