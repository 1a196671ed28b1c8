"""What a step says: to the log, the operator, Prometheus and ``metrics.jsonl``."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, Stage

from .. import log
from ..batch import Length
from ..evaluate.heldout import perplexity
from .metrics import Metrics
from .report import Reporter

LOG_INTERVAL = 1.0
SMOOTHING = 0.9


@dataclass(frozen=True)
class StepResult:
    """One optimizer step, as all ranks agree on it."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float | None
    tokens: int
    applied: bool


class Progress:
    """Rank 0's voice; on other ranks only the pod's metrics."""

    def __init__(self, job: JobFile, length: Length, first: bool, local_first: bool, folder: Path) -> None:
        self.length, self.first = length, first
        self.metrics = Metrics()
        self.reporter = Reporter(job, Stage.TRAIN) if first else None
        self._rows = (folder / "metrics.jsonl").open("a", buffering=1) if first else None
        self._began = self._logged = time.monotonic()
        self._seconds: float | None = None
        if local_first:
            self.metrics.serve()

    def resumed(self, step: int, note: str = "") -> None:
        """Training starts from this step.

        Args:
            step: optimizer steps done; 0 = from the start.
            note: what is not usual about it.
        """
        self.metrics.total_steps.set(self.length.steps)
        self._began = time.monotonic()
        more = {"note": note} if note else {}
        self._say("resumed" if step else "started", from_step=step, total_steps=self.length.steps, **more)
        fields = {"step": step, "total_steps": self.length.steps, "resumed_step": step}
        self._report(fields | {"resumed_note": note[:256] or None}, urgent=True)

    def step(self, result: StepResult) -> None:
        """A step is done."""
        now = time.monotonic()
        seconds, self._began = now - self._began, now
        smooth = seconds if self._seconds is None else SMOOTHING * self._seconds + (1 - SMOOTHING) * seconds
        self._seconds = smooth
        self._series(result, seconds)
        if self._rows:
            self._rows.write(json.dumps({**vars(result), "seconds": round(seconds, 6)}) + "\n")
        fields = {
            "step": result.step,
            "total_steps": self.length.steps,
            "epoch": self.length.consumed(result.step) / self.length.samples,
            "loss": result.loss,
            "learning_rate": result.learning_rate,
            "grad_norm": result.gradient_norm,
            "tokens_per_second": result.tokens / smooth,
            "eta_seconds": (self.length.steps - result.step) * smooth,
        }
        self._report({"stage": Stage.TRAIN, **fields})
        if now - self._logged >= LOG_INTERVAL or result.step in (1, self.length.steps) or not result.applied:
            self._logged = now
            self._say("step", **fields, **({} if result.applied else {"dropped": True}))

    def evaluating(self) -> None:
        """An evaluation begins."""
        self._report({"stage": Stage.EVALUATE}, urgent=True)

    def evaluated(self, step: int, loss: float) -> None:
        """An evaluation ended."""
        self.metrics.held_out_loss.set(loss)
        self._say("evaluated", step=step, held_out_loss=loss, perplexity=perplexity(loss))
        self._report({"stage": Stage.TRAIN, "eval_loss": loss, "perplexity": perplexity(loss)})
        self._began = time.monotonic()

    def committed(self, step: int, seconds: float, *, written: bool) -> None:
        """A checkpoint is in place."""
        self.metrics.checkpoint_step.set(step)
        if written:
            self.metrics.checkpoint_seconds.observe(seconds)
        self._say(
            "checkpoint committed" if written else "checkpoint was there already", step=step, seconds=seconds
        )
        self._report({"checkpoint_step": step}, urgent=True)
        self._began = time.monotonic()

    def close(self) -> None:
        """Send what is left."""
        if self.reporter:
            self.reporter.close()

    def _series(self, result: StepResult, seconds: float) -> None:
        series = self.metrics
        series.step.set(result.step)
        series.loss.set(result.loss)
        series.learning_rate.set(result.learning_rate)
        series.gradient_norm.set(result.gradient_norm or 0.0)
        series.tokens_per_second.set(result.tokens / (self._seconds or seconds))
        series.tokens.inc(result.tokens)
        series.step_seconds.observe(seconds)
        series.dropped_steps.inc(not result.applied)

    def _say(self, event: str, **fields: Any) -> None:
        if self.first:
            log.get().info(event, **fields)

    def _report(self, fields: dict[str, Any], *, urgent: bool = False) -> None:
        if self.reporter:
            sendable = {name: value for name, value in fields.items() if _sendable(value)}
            self.reporter.update(urgent=urgent, **sendable)


def _sendable(value: object) -> bool:
    """Whether JSON can say it: not infinity, not NaN."""
    return not isinstance(value, float) or value - value == 0
