"""The training loop: fetch -> forward/backward -> step -> log -> evaluate -> save."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from llmtrain_api import JobFile, OnSpike, Task, changed, task_of
from llmtrain_api.estimate.flops import sequence_flops

from .. import distributed, log
from ..batch import BatchPlan, Length
from ..checkpoint.manifest import Metrics, manifest_of
from ..checkpoint.save import Checkpointer, load_from
from ..data.feed import Feed
from ..data.loader import Batches, Pass, open_held_out, open_train
from ..data.order import Order, Source
from ..data.store import INITIAL, Marker
from ..distributed import Ranks
from ..errors import Interrupted
from ..files import write_json
from ..floats import finite, finite_only
from ..loss import token_count
from ..models.head import head_of
from ..models.location import start_of
from ..optim.lr_schedules import Share
from ..parallel.apply import build
from ..storage.select import checkpoint_store_of
from ..storage.start_marker import Start
from ..tasks import encoder
from ..tasks.kto import JudgedLM, settled
from ..tasks.preference import PairsLM
from ..tasks.reinforcement import RewardedLM
from ..telemetry import device
from ..telemetry.figures import StepResult, Workload
from ..telemetry.phases import Phase
from ..telemetry.sinks import Progress
from ..telemetry.startup import Startup
from .checkpointing import CheckpointScheduler, SaveVotes
from .evaluator import Evaluator
from .held_out import HeldOutLoss
from .penalty import gradients, open_pairs
from .reference import Reference
from .rewind import load_best, rewind
from .rollouts import Rollouts
from .run_state import RunState
from .votes import StepOutcome, StepVotes, StopRequest


class Training:
    """One rank's part of one attempt."""

    def __init__(
        self,
        job: JobFile,
        start: Start,
        ranks: Ranks,
        marker: Marker,
        startup: Startup,
        heartbeat: Callable[[Phase], None] = lambda _: None,
    ) -> None:
        self.job, self.start, self.ranks = job, start, ranks
        self.place = job.layout.place(ranks.rank)
        self._open_data(marker)
        startup.done("data")
        self._build_engine(marker)
        startup.done("build")
        self.watch = self.engine.watch = device.stopwatch(ranks, heartbeat)
        self._ready_task(marker)
        self._observe(startup)
        self._checkpoint()

    def _open_data(self, marker: Marker) -> None:
        """What each pass of this rank is fed, with what the task's reference model says of it."""
        job, start, spec, training = self.job, self.start, self.job.spec, self.job.spec.training
        self.task = encoder(spec, job.shape, marker.special, start.output.data)
        rows = open_train(start.output.data, marker, job.cache)
        self.length = Length(len(rows), training.global_batch_size, training.max_steps, training.epochs)
        self.plan = BatchPlan(training.global_batch_size, training.micro_batch_size, job.layout.data)
        self.pairs = open_pairs(start.output.data, training, self.plan, self.length.steps)
        self.plan = replace(self.plan, beside=self.pairs.passes if self.pairs else 0)
        sources = [Source(*of) for of in zip(marker.rows, spec.dataset.parts, strict=True)]
        self.reference = None
        if isinstance(self.task, PairsLM | JudgedLM) and self.task.has_reference:
            held_out, samples = open_held_out(start.output.data), self.length.consumed(self.length.steps)
            order = Order(sources, training.seed)
            self.reference = Reference(job, start, self.ranks, rows, held_out, order, samples)
        seen = self.reference.train if self.reference else rows
        batches = Batches(seen, self.plan, self.length, training.seed, self.task, sources)
        host = torch.device("cpu")
        self.feed = Feed(
            lambda done: batches.at(done, self.place, host), self.length.steps, self.ranks.device
        )

    def _build_engine(self, marker: Marker) -> None:
        """The model in its layout, with its optimizer; its weights, unless a checkpoint brings them."""
        job, start, spec = self.job, self.start, self.job.spec
        self.engine, built = build(
            start_of(job, start.output.data / INITIAL),
            spec,
            job.shape,
            job.layout,
            self.place,
            self.plan,
            self.length.steps * spec.updates_a_step,
            weights=start.resume is None or not (self.reference is None or self.reference.there),
            head=head_of(task_of(spec, job.shape), marker.labels, marker.special.pad),
            share=self.share(),
        )
        self.engine.objective = self.task.objective
        log.get().info("engine built", layout=str(job.layout), why=job.layout.why,
                       dtype=str(spec.training.precision), accumulation=self.plan.accumulation,
                       micro=self.plan.micro, parameters=built.parameters, frozen=built.frozen,
                       decayed=built.decayed, attention=built.attention,
                       compiled_layers=built.compiled)  # fmt: skip

    def _ready_task(self, marker: Marker) -> None:
        """What a task does beside its passes: answers that are rewarded, words of a reference, measures."""
        self.rollouts = None
        if isinstance(self.task, RewardedLM):
            self.rollouts = Rollouts(self.job, self.start, self.ranks, marker, self.task, self.engine)
        if self.reference and isinstance(self.task, PairsLM | JudgedLM):
            self.reference.ready(self.engine, self.task)
        self.evaluator = Evaluator(
            self.job, self.start, self.ranks, self.engine, self.task, self.reference, self.rollouts
        )

    def _observe(self, startup: Startup) -> None:
        """Who is told how far it is, and what a step computes."""
        job, spec = self.job, self.job.spec
        peak = device.peak_flops(self.ranks, spec.training.precision)
        pairs = spec.task is Task.TEXT2TEXT
        flops = sequence_flops(job.shape, spec.training.sequence_length, spec.model.adapter, pairs=pairs)
        workload = Workload(self.length, self.plan, self.ranks.world, flops * spec.sequences_a_sample, peak)
        logs = self.start.output.logs(job.attempt)
        self.progress = Progress(job, workload, self.ranks, logs, self.watch, startup)
        self.metrics = Metrics()
        self.loss = math.nan

    def _checkpoint(self) -> None:
        """Where steps are saved, and what of the run is saved with them."""
        self.run_state = RunState(self.job.spec.training)
        self.store = checkpoint_store_of(self.job, self.start.fence, self.ranks)
        files = Checkpointer(
            self.start.fence, self.ranks, self.job.layout, self.start.fingerprints, self.store
        )
        self.checkpointing = CheckpointScheduler(
            files, self.engine, self.job.spec.checkpoint, self.length, self.run_state, self.progress
        )

    def share(self) -> Share | None:
        """The share of the peak learning rate that each step takes; None as the job's schedule says."""
        return None

    def run(self, stop: StopRequest) -> None:
        """Train to the end, or until all ranks agree to stop."""
        done = self.begin()
        while done < self.length.steps and not self.run_state.stop_reason:
            outcome = self.train_step(done, stop)
            done = outcome.done
            if not outcome.rewound and done < self.length.steps:
                self.after_step(done)
        self.finish(done)
        self.feed.close()
        self.progress.close()

    def begin(self) -> int:
        """The step that training starts from."""
        done, resume = self.start.done, self.start.resume
        if resume:
            folder = self.store.fetch(done)
            load_from(self.store, self.engine, folder, resume)
            self.run_state.restore(manifest_of(folder).run_state)
        self.progress.resumed(done, self.start.note(self.engine.layout))
        if not resume and self.run_state.policy is OnSpike.REWIND:
            self.checkpointing.first(self.metrics)
        return done

    def train_step(self, done: int, stop: StopRequest) -> StepOutcome:
        """Train the step after ``done``, or pass over it, or go back because of it."""
        step = done + 1
        if step in self.run_state.skipped:
            self.progress.skipped(step)
            return StepOutcome(step)
        with self.watch(Phase.DATA):
            passes = self.feed.take(done)
        votes = self.agree(passes, done, stop)
        with self.watch(Phase.DATA):
            passes = self.feed.move(passes)
        result = self.forward_backward_step(step, passes, votes)
        self.loss = result.loss
        told = {"train_loss": finite(result.loss), "fairness_penalty": finite(result.fairness_penalty)}
        self.metrics = changed(self.metrics, **told)
        self.progress.step(result)
        spike = self.run_state.judge(step, result.loss, result.gradient_norm, applied=result.applied)
        if spike:
            self.progress.spiked(step, str(spike))
        if not self.run_state.rewinds(spike, applied=result.applied):
            return StepOutcome(step)
        self.checkpointing.settle()
        back = rewind(step, self.run_state, self.engine, self.store, self.progress)
        return StepOutcome(back, rewound=True)

    def agree(self, passes: list[Pass], done: int, stop: StopRequest) -> StepVotes:
        """Exchange with all ranks what each knows before a step, and act on it; what all of them know.

        Args:
            passes: of this rank, in the host's memory: there their labels are counted without waiting.
            done: optimizer steps done.
            stop: whether this rank was asked to.

        Raises:
            Interrupted: a rank was asked to stop; the state is saved.
        """
        with self.watch(Phase.DATA):
            own_labels = self.engine.labels(passes)
            own_tokens = sum(token_count(labels) for _, labels in passes) * self.engine.counts
        own = StepVotes(own_labels, own_tokens, int(stop.asked), *self.checkpointing.votes())
        with self.watch(Phase.COMMUNICATION):
            votes = StepVotes(*distributed.all_reduce_sum(self.ranks, *own))
        if votes.stop:
            raise Interrupted(f"asked to stop; {self.before_stopping(done)}")
        saves = SaveVotes(votes.save_done, votes.save_failed, votes.save_due)
        if any(saves):
            with self.watch(Phase.CHECKPOINT):
                self.checkpointing.collect(saves, done, self.metrics)
        return votes

    def before_stopping(self, done: int) -> str:
        """Save the state; what came of it."""
        return self.checkpointing.before_stopping(done, self.metrics)

    def forward_backward_step(self, step: int, passes: list[Pass], votes: StepVotes) -> StepResult:
        """Compute gradients and update; what the step did, as all ranks agree: the first one tells them."""
        rate, labels, tokens, told = self.engine.learning_rate, votes.labels, votes.tokens, None
        added = partial(distributed.all_reduce_sum_float, self.ranks)
        if self.rollouts is not None:
            with self.watch(Phase.GENERATION):
                passes, labels, told = self.rollouts.of_step(passes)
            tokens = labels
        with self.watch(Phase.FORWARD):
            passes = settled(self.task, passes, self.engine.evaluated, added)
        with self.watch(Phase.DATA):
            beside = self.pairs.at(step - 1, self.place, self.ranks.device) if self.pairs else None
        for _ in range(self.job.spec.updates_a_step):
            own_loss, own_penalty = gradients(self.engine, passes, labels, beside)
            with self.watch(Phase.OPTIMIZER):
                self.engine.step()
        norm, applied = 0.0, 0.0
        if self.ranks.first:
            norm, applied = self.engine.gradient_norm or 0.0, float(self.engine.step_applied)
        with self.watch(Phase.COMMUNICATION):
            loss, norm, applied, *penalty = distributed.all_reduce_sum_float(
                self.ranks, own_loss, norm, applied, *own_penalty
            )
        gap = penalty[0] if penalty else None
        return StepResult(
            step, loss, rate, norm, tokens, bool(applied), fairness_penalty=gap, reinforcement=told
        )

    def after_step(self, done: int) -> None:
        """Evaluate and save where that is due."""
        every = self.job.spec.evaluation.every_steps
        if every and done % every == 0:
            self.evaluate(done)
        if self.checkpointing.due(done) and not self.run_state.stop_reason:
            with self.watch(Phase.CHECKPOINT):
                self.checkpointing.after(done, self.metrics)

    def evaluate(self, step: int) -> HeldOutLoss:
        """Measure the held-out loss after a step, and tell it."""
        self.progress.evaluating()
        with self.watch(Phase.EVALUATION):
            found = self.evaluator.loss()
        self.metrics = changed(self.metrics, eval_loss=finite(found.mean))
        self.progress.evaluated(step, found.mean, found.measures)
        self.run_state.evaluated(step, found.mean)
        return found

    def finish(self, done: int) -> None:
        """Measure and save the end, and put on record what is known of the step that is exported."""
        found, exported = self.evaluate(done), done
        with self.watch(Phase.CHECKPOINT):
            self.checkpointing.last(done, self.metrics)
            keeps = self.job.spec.checkpoint.keep_best
            best = load_best(done, self.engine, self.store) if keeps else None
        with self.watch(Phase.EVALUATION):
            if best is not None:
                exported, self.metrics, found = best.step, best.metrics, self.evaluator.loss()
            record = self.evaluator.record(done, exported, found, self.metrics)
        if self.ranks.first:
            state = finite_only(self.run_state.results(early=done < self.length.steps))
            write_json(self.start.output.evaluation, changed(record, run_state=state).to_json())
