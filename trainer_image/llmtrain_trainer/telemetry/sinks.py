"""Where steps are reported: log, operator, Prometheus, TensorBoard and ``metrics.jsonl``."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llmtrain_api import JobFile, ProgressUpdate, Stage
from llmtrain_api.estimate.flops import CONVENTION
from llmtrain_api.messages import MAX_CHECKPOINTS, MAX_ETA_SECONDS, Straggler, figure

from .. import log
from ..distributed import Ranks
from ..floats import finite_only, perplexity
from .compilation import Compilation
from .figures import Pace, StepReport, StepResult, Workload, answers_of
from .phases import Lap, Phase, Stopwatch, spread
from .prometheus import REWOUND, JobSeries, RankSeries
from .reporter import Reporter
from .startup import Startup
from .stragglers import StragglerWatch
from .tensorboard import Board

LOG_INTERVAL = 1.0


class Rank0Sinks:
    """All that rank 0 tells of the job."""

    def __init__(
        self, job: JobFile, workload: Workload, series: JobSeries, folder: Path, step: int, note: str
    ) -> None:
        self.workload, self.series = workload, series
        self.reporter = Reporter(job, Stage.TRAIN)
        self.board = Board(folder / "tensorboard", step)
        self._rows = (folder / "metrics.jsonl").open("a", buffering=1)
        self._evaluations = folder / "evaluations.jsonl"
        self._logged = time.monotonic()
        self._slow: int | None = None
        total = workload.length.steps
        series.total_steps.set(total)
        series.of_step["step"].set(step)
        log.get().info("resumed" if step else "started", from_step=step, total_steps=total,
                       flops_per_sequence=workload.sequence_flops, peak_flops=workload.peak,
                       flops_convention=CONVENTION, **({"note": note} if note else {}))  # fmt: skip
        self.reporter.update(
            ProgressUpdate(step=step, total_steps=total, resumed_step=step, resumed_note=note[:256] or None),
            urgent=True,
        )

    def stepped(self, report: StepReport) -> None:
        """A step is done."""
        self.series.stepped(report)
        self.board.stepped(report)
        self._rows.write(json.dumps(row(report), allow_nan=False) + "\n")
        update = figures_of(report)
        self.reporter.update(update)
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL or report.step in (1, report.total_steps) or not report.applied:
            self._logged = now
            dropped = {} if report.applied else {"dropped": True}
            told = update.model_dump(exclude_unset=True, exclude={"stage", "reinforcement"})
            log.get().info("step", **told, **answers_of(report), **dropped)

    def compared(self, slow: Straggler | None) -> None:
        """The ranks were compared: one of them keeps the others waiting, or none does."""
        if slow is not None and slow.rank != self._slow:
            log.get().warning("a rank is slower than its peers", slow_rank=slow.rank, times=slow.times)
        self._slow = slow.rank if slow else None
        self.reporter.update(ProgressUpdate(straggler=slow))

    def evaluated(self, step: int, loss: float, measures: Mapping[str, float] = MappingProxyType({})) -> None:
        """The held-out loss is known, and what else was measured; a perplexity has only a loss of tokens."""
        self.series.evaluated(loss, of_tokens=not measures)
        self.board.evaluated(step, loss, measures)
        update = ProgressUpdate(
            stage=Stage.TRAIN,
            eval_loss=figure(loss),
            perplexity=None if measures else figure(perplexity(loss)),
        )
        told = {"perplexity": update.perplexity} if not measures else dict(measures)
        with suppress(OSError), self._evaluations.open("a") as file:
            found = finite_only({"step": step, "held_out_loss": loss, **told})
            file.write(json.dumps(dict(found), allow_nan=False) + "\n")
        log.get().info("evaluated", step=step, held_out_loss=update.eval_loss, **told)
        self.reporter.update(update)

    def committed(self, step: int, seconds: float, *, written: bool, kept: list[int]) -> None:
        """A checkpoint is in place, so many seconds after its save began; these steps are kept."""
        self.series.committed(step, written=written)
        self.board.flush()
        event = "checkpoint committed" if written else "checkpoint was there already"
        log.get().info(event, step=step, seconds=seconds)
        self.reporter.update(
            ProgressUpdate(checkpoint_step=step, checkpoints=kept[:MAX_CHECKPOINTS]), urgent=True
        )

    def evaluating(self) -> None:
        """An evaluation begins."""
        self.reporter.update(ProgressUpdate(stage=Stage.EVALUATE), urgent=True)

    def close(self) -> None:
        """Send and write what is left."""
        self.board.close()
        self._rows.close()
        self.reporter.close()


class Progress:
    """What a rank tells: its own phases, and on rank 0 the job's progress."""

    def __init__(
        self, job: JobFile, workload: Workload, ranks: Ranks, folder: Path, watch: Stopwatch, startup: Startup
    ) -> None:
        self.job, self.workload, self.ranks, self.folder = job, workload, ranks, folder
        self.watch, self.startup = watch, startup
        self.own = RankSeries(ranks.device)
        with_mfu = workload.peak is not None
        self.series = JobSeries(self.own.registry, job, with_mfu=with_mfu) if ranks.first else None
        self.sinks: Rank0Sinks | None = None
        self._pace = Pace()
        self._sample: Lap | None = None
        self._first = True
        self._stragglers = StragglerWatch(job, ranks, watch)
        self._compilation = Compilation(watch) if job.spec.training.compile else None
        self.own.serve(ranks.local_rank)

    def resumed(self, step: int, note: str = "") -> None:
        """Training starts from this step.

        Args:
            step: optimizer steps done; 0 = from the start.
            note: what is not usual about it.
        """
        if self.series:
            self.sinks = Rank0Sinks(self.job, self.workload, self.series, self.folder, step, note)
        self.startup.done("resume")
        self.own.spent({Phase.STARTUP: self.startup.seconds})
        self.watch.lap()

    def step(self, result: StepResult) -> None:
        """A step is done."""
        lap = self.watch.lap()
        phases = spread(lap, self._sample)
        self._sample = lap if lap.measured else self._sample
        smooth = self._pace.step(lap.training)
        report = self.workload.report(result, lap.training, smooth, phases, measured=lap.measured)
        self.own.spent(phases)
        self.own.stepped()
        if self.sinks:
            self.sinks.stepped(report)
        # an attempt's first step compiles and allocates, on each rank as long as it takes
        if not self._first and self._stragglers.step(phases) and self.sinks:
            self.sinks.compared(self._stragglers.found)
        if self._first:
            self._first = False
            if self._compilation:
                self._compilation.first_step_done()
            self.startup.done("first_step")
            self.startup.say()

    def spiked(self, step: int, reason: str) -> None:
        """A step's loss or gradient norm spiked."""
        if self.series:
            self.series.spikes.inc()
            log.get().warning("spike", step=step, reason=reason)

    def rewound(self, step: int, to: int) -> None:
        """Training goes on from an earlier checkpoint, and will pass over a step's samples."""
        length = self.workload.length
        samples = [length.consumed(step - 1), length.consumed(step) - 1]
        if self.ranks.first:
            log.get().info("rewound", from_step=step, to_step=to, skipped_sample_positions=samples)

    def skipped(self, step: int) -> None:
        """A step was passed over."""
        if self.series:
            self.series.of_step["step"].set(step)
            self.series.skipped.labels(REWOUND).inc()
            log.get().info("step skipped", step=step)

    def evaluating(self) -> None:
        """An evaluation begins."""
        if self.sinks:
            self.sinks.evaluating()

    def evaluated(self, step: int, loss: float, measures: Mapping[str, float] = MappingProxyType({})) -> None:
        """An evaluation ended.

        Args:
            step: optimizer steps done.
            loss: a mean.
            measures: what else was measured of samples that are no tokens, by name.
        """
        if self.sinks:
            self.sinks.evaluated(step, loss, measures)

    def committed(self, step: int, seconds: float, *, written: bool, kept: list[int]) -> None:
        """A checkpoint is in place, and these steps are kept."""
        if self.sinks:
            self.sinks.committed(step, seconds, written=written, kept=kept)

    def stalled(self, seconds: float) -> None:
        """Training waited so long for a save."""
        if self.series:
            self.series.checkpoint_seconds.observe(seconds)

    def save_failed(self, step: int, error: str, failures: int) -> None:
        """A checkpoint could not be written; training goes on without it."""
        if self.series:
            self.series.failed_saves.inc()
            log.get().warning("checkpoint failed", step=step, error=error, in_a_row=failures)

    def close(self) -> None:
        """Tell what is left."""
        self.own.spent(self.watch.lap().seconds)
        if self.sinks:
            self.sinks.close()


def figures_of(report: StepReport) -> ProgressUpdate:
    """The figures of a step for the operator and the log: the only place that maps one to the other."""
    gap = report.fairness_penalty
    return ProgressUpdate(
        **({} if gap is None else {"fairness_penalty": figure(gap)}),
        stage=Stage.TRAIN,
        step=report.step,
        total_steps=report.total_steps,
        epoch=figure(report.epoch),
        loss=figure(report.loss),
        learning_rate=figure(report.learning_rate),
        grad_norm=figure(report.gradient_norm),
        reinforcement=report.reinforcement,
        tokens_per_second=figure(report.tokens_per_second),
        mfu=figure(report.mfu),
        eta_seconds=report.eta_seconds if report.eta_seconds <= MAX_ETA_SECONDS else None,
    )


def row(report: StepReport) -> dict[str, Any]:
    """A line of ``metrics.jsonl``: all that is known of a step, its phases only when they were measured."""
    apart = ("phases", "measured", "reinforcement")
    names = [field.name for field in fields(report) if field.name not in apart]
    found = {name: getattr(report, name) for name in names} | {"seconds": round(report.seconds, 6)}
    if report.measured:
        found["phases"] = {phase.value: round(spent, 6) for phase, spent in report.phases.items()}
    if report.reinforcement is not None:
        found["reinforcement"] = answers_of(report)
    return dict(finite_only(found))
