"""One event a line: JSON for machines, a sentence for a person at a terminal. Never imports torch."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from datetime import timedelta
from typing import Any

import structlog

from .floats import finite_only

_HIDDEN = ("level", "timestamp", "job", "attempt", "rank", "event")


def sentence(event: MutableMapping[str, Any]) -> str:
    """An event as a person reads it."""
    name = str(event.get("event", ""))
    if name == "step":
        return _progress(event)
    rest = "  ".join(f"{key}={_value(v)}" for key, v in event.items() if key not in _HIDDEN)
    return f"{name}  {rest}".rstrip()


def _progress(event: MutableMapping[str, Any]) -> str:
    step, total = int(event["step"]), int(event["total_steps"])
    eta = timedelta(seconds=round(event.get("eta_seconds") or 0))
    percent, loss = 100 * step // total, loss_text(event["loss"])
    return (
        f"step {step:>{len(str(total))}}/{total}  {percent:>3}%  loss {loss}  "
        f"lr {event['learning_rate']:.2e}  {event['tokens_per_second']:,.0f} tokens/s  ETA {eta}"
    )


def loss_text(loss: float | None) -> str:
    """A loss as a person reads it; None is one that was infinite or not a number."""
    return "not finite" if loss is None else f"{loss:.3f}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _render_sentence(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> str:
    return sentence(event)


def _without_infinity(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """JSON cannot hold every float."""
    event.update(finite_only(dict(event)))
    return event


def configure(*, human: bool | None = None, **context: Any) -> None:
    """Set up logging of this process.

    Args:
        human: sentences instead of JSON; None = when standard output is a terminal.
        context: said with every event, such as job and attempt.
    """
    readable = sys.stdout.isatty() if human is None else human
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_render_sentence] if readable else [_without_infinity, structlog.processors.JSONRenderer()]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**context)


def silence() -> None:
    """Say nothing: for verbs whose output is read by a person, who wants no events between its lines."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def get() -> Any:
    """The logger."""
    return structlog.get_logger()
