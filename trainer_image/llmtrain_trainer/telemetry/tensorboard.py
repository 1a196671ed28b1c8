"""TensorBoard files of an attempt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from .figures import StepReport, answers_of

FLUSH_SECONDS = 10.0
DATASETS = "datasets"
"""Folder beside the curves of training, of what was measured on sets apart at the end."""


class Board:
    """Writes curves for TensorBoard, without the threads and the queue of tensorboardX's own writer.

    Args:
        folder: of the event files.
        step: training goes on after it. Curves of an earlier process that went further, in a folder that is
            the same or is shown as one run, are cut there.
    """

    def __init__(self, folder: Path, step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"))
        self._flushed = time.monotonic()
        if step:
            self._write(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def stepped(self, report: StepReport) -> None:
        """A step's curves, all in one event."""
        phases = {f"seconds/{phase}": seconds for phase, seconds in report.phases.items()}
        self._add(
            {
                "loss/train": report.loss,
                "loss/fairness_penalty": report.fairness_penalty,
                "learning_rate": report.learning_rate,
                "gradient_norm": report.gradient_norm,
                "tokens_per_second": report.tokens_per_second,
                "mfu": report.mfu,
                "seconds/step": report.seconds,
            }
            | {f"answers/{name}": value for name, value in answers_of(report).items()}
            | (phases if report.measured else {}),
            report.step,
        )
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def evaluated(self, step: int, loss: float, measures: Mapping[str, float] = MappingProxyType({})) -> None:
        """The held-out loss is known, and what else was measured."""
        more = {f"held_out/{name}": value for name, value in measures.items()}
        self._add({"loss/held_out": loss} | more, step)

    def measured(self, step: int, points: Mapping[str, float | None]) -> None:
        """What was measured apart, by its curve."""
        self._add(points, step)

    def flush(self) -> None:
        """Let nothing that was written be lost with this process."""
        self._flushed = time.monotonic()
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _add(self, values: Mapping[str, float | None], step: int) -> None:
        found = [Summary.Value(tag=t, simple_value=v) for t, v in values.items() if v is not None]
        self._write(Event(step=step, summary=Summary(value=found)))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write_event(event)
