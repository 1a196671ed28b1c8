"""What a step says: to the log, the operator, Prometheus, TensorBoard and ``metrics.jsonl``."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, Stage
from llmtrain_api.estimate.flops import CONVENTION

from .. import log
from ..distributed import Ranks
from ..evaluate.heldout import perplexity
from .compilation import Compilation
from .figures import Figures, StepResult, Workload
from .phases import Lap, Phase, Stopwatch, spread
from .prometheus import REWOUND, JobSeries, RankSeries
from .reporter import Reporter
from .startup import Startup
from .tensorboard import Board

LOG_INTERVAL = 1.0


class Rank0Sinks:
    """Rank 0's outlets."""

    def __init__(
        self, job: JobFile, workload: Workload, series: JobSeries, folder: Path, step: int, note: str
    ) -> None:
        self.workload, self.series = workload, series
        self.reporter = Reporter(job, Stage.TRAIN)
        self.board = Board(folder / "tensorboard", step)
        self._rows = (folder / "metrics.jsonl").open("a", buffering=1)
        self._logged = time.monotonic()
        total = workload.length.steps
        series.total_steps.set(total)
        series.step.set(step)
        log.get().info("resumed" if step else "started", from_step=step, total_steps=total,
                       flops_per_sequence=workload.sequence_flops, peak_flops=workload.peak,
                       flops_convention=CONVENTION, **({"note": note} if note else {}))  # fmt: skip
        fields = {"step": step, "total_steps": total, "resumed_step": step}
        self.report(fields | {"resumed_note": note[:256] or None}, urgent=True)

    def stepped(self, result: StepResult, figures: Figures) -> None:
        """A step is done."""
        self.series.stepped(result, figures)
        self.board.stepped(result, figures)
        self._rows.write(json.dumps(row(result, figures)) + "\n")
        total = self.workload.length.steps
        fields = {
            "step": result.step,
            "total_steps": total,
            "epoch": figures.epoch,
            "loss": result.loss,
            "learning_rate": result.learning_rate,
            "grad_norm": result.gradient_norm,
            "tokens_per_second": figures.tokens_per_second,
            "mfu": figures.mfu,
            "eta_seconds": figures.eta_seconds,
        }
        self.report({"stage": Stage.TRAIN, **fields})
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL or result.step in (1, total) or not result.applied:
            self._logged = now
            log.get().info("step", **fields, **({} if result.applied else {"dropped": True}))

    def evaluated(self, step: int, loss: float) -> None:
        """The held-out loss is known."""
        self.series.evaluated(loss)
        self.board.evaluated(step, loss)
        log.get().info("evaluated", step=step, held_out_loss=loss, perplexity=perplexity(loss))
        self.report({"stage": Stage.TRAIN, "eval_loss": loss, "perplexity": perplexity(loss)})

    def committed(self, step: int, seconds: float, *, written: bool) -> None:
        """A checkpoint is in place, so many seconds after its save began."""
        self.series.committed(step, written=written)
        self.board.flush()
        event = "checkpoint committed" if written else "checkpoint was there already"
        log.get().info(event, step=step, seconds=seconds)
        self.report({"checkpoint_step": step}, urgent=True)

    def report(self, fields: dict[str, Any], *, urgent: bool = False) -> None:
        """Tell the operator."""
        sendable = {name: value for name, value in fields.items() if _sendable(value)}
        self.reporter.update(urgent=urgent, **sendable)

    def close(self) -> None:
        """Send and write what is left."""
        self.board.close()
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
        self.voice: Rank0Sinks | None = None
        self._smooth: float | None = None
        self._sample: Lap | None = None
        self._first = True
        self._compilation = Compilation(watch) if job.spec.training.compile else None
        self.own.serve(ranks.local_rank)

    def resumed(self, step: int, note: str = "") -> None:
        """Training starts from this step.

        Args:
            step: optimizer steps done; 0 = from the start.
            note: what is not usual about it.
        """
        if self.series:
            self.voice = Rank0Sinks(self.job, self.workload, self.series, self.folder, step, note)
        self.startup.done("resume")
        self.own.spent({Phase.STARTUP: self.startup.seconds})
        self.watch.lap()

    def step(self, result: StepResult) -> None:
        """A step is done."""
        lap = self.watch.lap()
        phases = spread(lap, self._sample)
        self._sample = lap if lap.measured else self._sample
        figures = self.workload.figures(result, lap.training, self._smooth, phases, measured=lap.measured)
        self._smooth = figures.smooth
        self.own.spent(phases)
        self.own.stepped()
        if self.voice:
            self.voice.stepped(result, figures)
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
        self._began = time.monotonic()

    def skipped(self, step: int) -> None:
        """A step was passed over."""
        if self.series:
            self.series.step.set(step)
            self.series.skipped.labels(REWOUND).inc()
            log.get().info("step skipped", step=step)

    def evaluating(self) -> None:
        """An evaluation begins."""
        if self.voice:
            self.voice.report({"stage": Stage.EVALUATE}, urgent=True)

    def evaluated(self, step: int, loss: float) -> None:
        """An evaluation ended."""
        if self.voice:
            self.voice.evaluated(step, loss)

    def committed(self, step: int, seconds: float, *, written: bool) -> None:
        """A checkpoint is in place."""
        if self.voice:
            self.voice.committed(step, seconds, written=written)

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
        if self.voice:
            self.voice.close()


def row(result: StepResult, figures: Figures) -> dict[str, Any]:
    """A line of ``metrics.jsonl``. Phases are there when they were measured."""
    found = {
        **vars(result),
        "seconds": round(figures.seconds, 6),
        "samples": figures.samples,
        "model_flops_per_second": figures.flops_per_second,
        "mfu": figures.mfu,
    }
    if figures.measured:
        found["phases"] = {phase.value: round(spent, 6) for phase, spent in figures.phases.items()}
    return found


def _sendable(value: object) -> bool:
    """Whether JSON can say it: not infinity, not NaN."""
    return not isinstance(value, float) or value - value == 0
