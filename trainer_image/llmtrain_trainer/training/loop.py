"""The training loop: fetch -> forward/backward -> step -> log -> evaluate -> save."""

from __future__ import annotations

import signal
from typing import Any

from llmtrain_api import JobFile, OnSpike, shape_of
from llmtrain_api.estimate.flops import sequence_flops

from .. import distributed, log
from ..batch import BatchPlan, Length
from ..checkpoint.manifest import run_state_of
from ..checkpoint.save import Checkpointer, load
from ..data.loader import Batches, Pass, held_out_passes, open_held_out, open_train
from ..data.order import Source
from ..data.store import INITIAL, Marker
from ..distributed import Ranks
from ..errors import Interrupted
from ..files import write_json
from ..parallel.apply import build
from ..storage.select import checkpoint_store_of
from ..storage.start_marker import Start
from ..tasks import encoder
from ..telemetry.figures import StepResult, Workload
from ..telemetry.phases import Phase
from ..telemetry.sinks import Progress
from ..telemetry.startup import Startup
from .checkpointing import CheckpointScheduler
from .rewind import rewind
from .run_state import RunState
from .spikes import Spike


class StopRequest:
    """Set by SIGTERM. Acted on only when all ranks agree, as a save needs all of them."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


class Training:
    """One rank's part of one attempt."""

    def __init__(self, job: JobFile, start: Start, ranks: Ranks, marker: Marker, startup: Startup) -> None:
        spec, training, layout = job.spec, job.spec.training, job.layout
        self.job, self.start, self.ranks = job, start, ranks
        self.place = layout.place(ranks.rank)
        self.task = encoder(spec, marker.eos)
        rows = open_train(start.output.data, marker)
        self.length = Length(len(rows), training.global_batch_size, training.max_steps, training.epochs)
        self.plan = BatchPlan(training.global_batch_size, training.micro_batch_size, layout.data)
        sources = [Source(*of) for of in zip(marker.rows, spec.dataset.parts, strict=True)]
        self.batches = Batches(rows, self.plan, self.length, training.seed, self.task, sources)
        startup.done("data")
        self.engine, built = build(
            start.output.data / INITIAL, spec, layout, self.place, self.plan, self.length.steps
        )
        logs = start.output.logs(job.attempt)
        startup.done("build")
        self.watch = self.engine.watch = distributed.stopwatch(ranks)
        peak = distributed.peak_flops(ranks, training.precision)
        flops = sequence_flops(shape_of(spec), training.sequence_length)
        workload = Workload(self.length, self.plan, ranks.world, flops, peak)
        self.progress = Progress(job, workload, ranks, logs, self.watch, startup)
        self.run_state = RunState(training)
        self.store = checkpoint_store_of(job, start.fence, ranks)
        files = Checkpointer(start.fence, ranks, layout, start.fingerprints, self.store)
        self.checkpointing = CheckpointScheduler(
            files, self.engine, spec.checkpoint, self.length, self.run_state, self.progress
        )
        self.losses: dict[str, float | None] = {"trainLoss": None, "evalLoss": None}
        log.get().info("engine built", layout=str(layout), why=layout.why, dtype=str(training.precision),
                       accumulation=self.plan.accumulation, micro=self.plan.micro,
                       parameters=built.parameters, decayed=built.decayed, attention=built.attention,
                       compiled_layers=built.compiled)  # fmt: skip

    def run(self, stop: StopRequest) -> None:
        """Train to the end, or until all ranks agree to stop."""
        done = self.begin()
        every = self.job.spec.evaluation.every_steps
        while done < self.length.steps and not self.run_state.stop_reason:
            if done + 1 in self.run_state.skipped:
                self.progress.skipped(done + 1)
                done += 1
            else:
                went = self.advance(done, stop)
                back, done = went <= done, went
                if back:
                    continue
            if done == self.length.steps:
                break
            if every and done % every == 0:
                self.evaluate(done)
            if self.checkpointing.due(done) and not self.run_state.stop_reason:
                with self.watch(Phase.CHECKPOINT):
                    self.checkpointing.after(done, self.losses)
        self.evaluate(done, last=True)
        with self.watch(Phase.CHECKPOINT):
            self.checkpointing.last(done, self.losses)
        self.progress.close()

    def begin(self) -> int:
        """The step that training starts from."""
        done, resume = self.start.done, self.start.resume
        if resume:
            folder = self.store.bring(done)
            load(self.engine, folder, resume)
            self.run_state.restore(run_state_of(folder))
        self.progress.resumed(done, self.start.note(self.engine.layout))
        if not resume and self.run_state.policy is OnSpike.REWIND:
            self.checkpointing.first(self.losses)
        return done

    def advance(self, done: int, stop: StopRequest) -> int:
        """Train one step; the number of steps done then, which is a checkpoint's after a rewind."""
        with self.watch(Phase.DATA):
            passes = self.batches.at(done, self.place, self.ranks.device)
            own_labels = self.engine.labels(passes)
        word = (own_labels, int(stop.asked), *self.checkpointing.word())
        with self.watch(Phase.COMMUNICATION):
            labels, stops, *saves = distributed.all_reduce_sum(self.ranks, *word)
        if stops:
            raise Interrupted(f"asked to stop; {self.checkpointing.before_stopping(done, self.losses)}")
        if any(saves):
            with self.watch(Phase.CHECKPOINT):
                self.checkpointing.heard(saves, done, self.losses)
        rate = self.engine.learning_rate
        own = self.engine.forward_backward(passes, labels)
        with self.watch(Phase.OPTIMIZER):
            self.engine.step()
        done += 1
        spike, applied = self.note(done, float(own), labels, rate)
        if self.run_state.rewinds(spike, applied=applied):
            self.checkpointing.settle()
            return rewind(done, self.run_state, self.engine, self.store, self.ranks, self.progress)
        return done

    def note(self, step: int, own_loss: float, labels: int, rate: float) -> tuple[Spike | None, bool]:
        """Agree on what the step did, say it, and judge it: the first rank speaks for all."""
        mine = (self.engine.gradient_norm or 0.0, self.engine.step_applied)
        words = (own_loss / labels, *(mine if self.ranks.first else (0.0, 0.0)))
        with self.watch(Phase.COMMUNICATION):
            loss, norm, word = distributed.all_reduce_sum_float(self.ranks, *words)
        applied = bool(word)
        self.losses["trainLoss"] = loss
        self.progress.step(StepResult(step, loss, rate, norm, labels, applied))
        spike = self.run_state.judge(step, loss, norm, applied=applied)
        if spike:
            self.progress.spiked(step, str(spike))
        return spike, applied

    def evaluate(self, step: int, *, last: bool = False) -> None:
        """Held-out loss: every rank its share, weighted by tokens."""
        self.progress.evaluating()
        with self.watch(Phase.EVALUATION):
            losses, tokens = distributed.all_reduce_sum_float(
                self.ranks, *self.engine.loss_sum(self.held_out())
            )
        self.losses["evalLoss"] = losses / tokens
        self.progress.evaluated(step, losses / tokens)
        self.run_state.evaluated(step, losses / tokens)
        if self.ranks.first and last:
            record: dict[str, Any] = {"step": step, "loss": losses / tokens, "tokens": int(tokens)}
            record |= {
                "trainLoss": self.losses["trainLoss"],
                "run_state": self.run_state.results(early=step < self.length.steps),
            }
            write_json(self.start.output.evaluation, record)

    def held_out(self) -> list[Pass]:
        """This rank's share of the held-out sequences."""
        rows = open_held_out(self.start.output.data)
        return held_out_passes(rows, self.plan, self.place, self.task, self.ranks.device)
