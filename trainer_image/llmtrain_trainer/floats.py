"""Numbers that JSON cannot hold, and what a loss means. Standard library only."""

from __future__ import annotations

import math
from typing import Any


def finite(value: float | None) -> float | None:
    """The value, or None where it is infinite or not a number: JSON can say neither."""
    return value if value is not None and math.isfinite(value) else None


def finite_only(value: Any) -> Any:
    """A JSON-ready value with None for each number in it that JSON cannot hold."""
    if isinstance(value, float):
        return finite(value)
    if isinstance(value, dict):
        return {key: finite_only(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite_only(one) for one in value]
    return value


def perplexity(loss: float) -> float:
    """exp(loss), infinite where it overflows."""
    return math.exp(loss) if loss < 700 else math.inf
