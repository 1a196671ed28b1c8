"""The curve of a loss as a picture that notebooks show: SVG, drawn from values alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from importlib import import_module
from math import isfinite
from typing import Any

WIDTH, HEIGHT, LEFT, EDGE = 640, 240, 64, 28
Points = tuple[tuple[int, float], ...]
"""Steps with their losses."""


@dataclass(frozen=True)
class Curve:
    """The losses of a job. A notebook shows it where it is the last value of a cell.

    Attributes:
        title: above it.
        points: in the order of their steps; what is not finite is left out.
    """

    title: str
    points: Points

    def with_point(self, step: int, loss: float) -> Curve:
        """With one more step; what was done from there on is done again."""
        kept = tuple(point for point in self.points if point[0] < step)
        return Curve(self.title, (*kept, (step, loss)) if isfinite(loss) else kept)

    def titled(self, title: str) -> Curve:
        """The same under another title."""
        return Curve(title, self.points)

    def _repr_html_(self) -> str:
        return svg(self)

    _repr_svg_ = _repr_html_


def curve_of(title: str, rows: Iterable[Mapping[str, Any]]) -> Curve:
    """Of rows as `Client.metrics` gives them: a row a step."""
    points = ((int(row["step"]), float(row["loss"])) for row in rows if row.get("loss") is not None)
    return Curve(title, tuple(point for point in points if isfinite(point[1])))


def canvas() -> Callable[[Curve], None]:
    """What shows a curve in the place of the one before: of a notebook, or lines of text elsewhere."""
    shell = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None:
        return lambda curve: print(_told(curve))
    display: Any = import_module("IPython.display").display
    shown: list[Any] = []

    def show(curve: Curve) -> None:
        if shown:
            shown[0].update(curve)
        else:
            shown.append(display(curve, display_id=True))

    return show


def svg(curve: Curve) -> str:
    """The picture; colours are those of the text around it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        'font-family="sans-serif" font-size="12" fill="currentColor" role="img">'
        f"<title>{escape(_told(curve))}</title>{_text(LEFT, 16, curve.title)}"
    )
    if not curve.points:
        return f"{head}{_text(LEFT, HEIGHT // 2, 'no step yet')}</svg>"
    steps, losses = [point[0] for point in curve.points], [point[1] for point in curve.points]
    low, high = min(losses), max(losses)
    right, bottom = WIDTH - EDGE, HEIGHT - EDGE
    wide, tall = max(steps[-1] - steps[0], 1), (high - low) or 1.0
    line = " ".join(
        f"{LEFT + (step - steps[0]) / wide * (right - LEFT):.1f},"
        f"{bottom - (loss - low) / tall * (bottom - EDGE):.1f}"
        for step, loss in curve.points
    )
    axes = f"M{LEFT} {EDGE}V{bottom}H{right}"
    return (
        f'{head}<path d="{axes}" fill="none" stroke="currentColor" stroke-opacity="0.4"/>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/>'
        f"{_text(4, EDGE + 4, f'{high:.4g}')}{_text(4, bottom, f'{low:.4g}')}"
        f"{_text(LEFT, HEIGHT - 8, f'step {steps[0]}')}"
        f"{_text(right - 70, HEIGHT - 8, f'step {steps[-1]}')}</svg>"
    )


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}">{escape(text)}</text>'


def _told(curve: Curve) -> str:
    """In words, for who does not see it."""
    if not curve.points:
        return f"{curve.title}: no step yet"
    (first, begin), (last, end) = curve.points[0], curve.points[-1]
    return f"{curve.title}: loss {begin:.4g} at step {first}, {end:.4g} at step {last}"
