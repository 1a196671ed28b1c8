"""A progress bar for a person at a terminal, made of rank 0's log. Never imports torch."""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from ..log import loss_text, sentence


class Screen:
    """Shows the lines of a log: steps as a bar, everything else above it.

    Args:
        terminal: where the bar is drawn.
        out: where the lines go; as they are, unless a person reads it.
    """

    def __init__(self, terminal: TextIO, out: TextIO) -> None:
        self._terminal, self._out = terminal, out
        self._bar: Any = None

    def show(self, line: str) -> None:
        """The next line of the log."""
        event = _parsed(line)
        name = event.get("event")
        if name in ("started", "resumed"):
            self._open(int(event["total_steps"]), int(event["from_step"]))
        if name == "step" and self._bar is not None:
            self._advance(event)
            if self._out.isatty():
                return
        self._write(sentence(event) if event and self._out.isatty() else line)

    def close(self) -> None:
        """Leave the bar as it is; the next line goes below it."""
        if self._bar is not None:
            self._bar.close()

    def _open(self, total: int, done: int) -> None:
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # its thread would redraw at its own times
        self._bar = tqdm(
            total=total, initial=done, unit="step", file=self._terminal, dynamic_ncols=True, desc="training"
        )

    def _advance(self, event: dict[str, Any]) -> None:
        rate = f"{event['tokens_per_second']:,.0f}"
        shown = {"loss": loss_text(event["loss"]), "tokens/s": rate}
        if event.get("mfu") is not None:
            shown["MFU"] = f"{event['mfu']:.1%}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(int(event["step"]) - self._bar.n)
        self._bar.refresh()

    def _write(self, text: str) -> None:
        if self._bar is None:
            print(text, file=self._out, flush=True)
            return
        self._bar.clear()
        print(text, file=self._out, flush=True)
        self._bar.refresh()


class Lines:
    """Shows the lines of a log where nobody watches."""

    def show(self, line: str) -> None:
        """The next line of the log."""
        print(line, flush=True)

    def close(self) -> None:
        """Nothing to end."""


def screen() -> Screen | Lines:
    """A bar when standard error is a terminal, else plain lines."""
    return Screen(sys.stderr, sys.stdout) if sys.stderr.isatty() else Lines()


def _parsed(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
