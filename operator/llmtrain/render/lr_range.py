"""The curve of a learning rate range test as lines of text."""

from __future__ import annotations

from llmtrain_api.schema.range_test import RangePoint, RangeReport

ROWS = 24
WIDTH = 40


def range_lines(report: RangeReport) -> list[str]:
    """A row for every few steps: rate, loss, smoothed loss and a bar; below it what they say."""
    points = report.points
    every = -(-len(points) // ROWS)
    # the last of each group, so that the step with the leap is among them
    shown = points[::-1][::every][::-1]
    smooth = [point.smoothed for point in points if point.smoothed is not None]
    low, high = min(smooth, default=0.0), max(smooth, default=0.0)
    lines = [f"{'STEP':>5}  {'RATE':>8}  {'LOSS':>9}  {'SMOOTHED':>9}"]
    lines += [f"{_row(point)}  {_bar(point.smoothed, low, high)}".rstrip() for point in shown]
    return [*lines, "", *_found(report)]


def _row(point: RangePoint) -> str:
    loss, smooth = ("-" if value is None else f"{value:.4f}" for value in (point.loss, point.smoothed))
    return f"{point.step:>5}  {point.learning_rate:>8.1e}  {loss:>9}  {smooth:>9}"


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None:
        return ""
    return "█" * (1 + round((value - low) / (high - low) * (WIDTH - 1)) if high > low else 1)


def _found(report: RangeReport) -> list[str]:
    marks = {"falls fastest at": report.steepest, "is lowest at": report.lowest, "leaps at": report.diverged}
    told = [f"the loss {what} {rate:.1e}" for what, rate in marks.items() if rate is not None]
    if report.diverged is None:
        told.append("the loss leaps nowhere")
    if report.suggested is None:
        return [*told, f"no learning rate is suggested: {report.reason}"]
    return [*told, f"suggested: training.learningRate: {report.suggested:.1e} ({report.reason})"]
