"""torch.compile at work: a phase of its own, logged, as it takes minutes in which no step ends."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack

from torch._dynamo.callback import CallbackArgs, on_compile_end, on_compile_start

from .. import log
from .phases import Phase, Stopwatch


class Compilation:
    """Hears of each compilation in this process.

    Attributes:
        count: compilations so far.
        seconds: that they took.

    Args:
        watch: counts their time.
    """

    def __init__(self, watch: Stopwatch) -> None:
        self.count, self.seconds = 0, 0.0
        self._watch, self._phase, self._since = watch, ExitStack(), 0.0
        self._first = True
        on_compile_start(self._began)
        on_compile_end(self._ended)
        logging.getLogger("torch._dynamo.convert_frame").addHandler(_Limit())

    def first_step_done(self) -> None:
        """Log what the first step spent on it. From here on each compilation is logged: a few are usual."""
        self._first = False
        log.get().info("layers compiled", compilations=self.count, seconds=round(self.seconds, 3))

    def _began(self, _: CallbackArgs) -> None:
        if not self.count:
            log.get().info("compiling the layers; the first step may take minutes")
        self._since = time.monotonic()
        self._phase.enter_context(self._watch(Phase.COMPILE))

    def _ended(self, _: CallbackArgs) -> None:
        self._phase.close()
        spent = time.monotonic() - self._since
        self.count += 1
        self.seconds += spent
        if not self._first:
            log.get().info("compiled for other inputs", compilations=self.count, seconds=round(spent, 3))


class _Limit(logging.Handler):
    """Logs what torch says once and in words of its own: that it will not compile a function again."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "hit config." in message:
            lines = [line.strip() for line in message.splitlines()[:3]]
            log.get().warning("compiled too often; this part of the layers now runs as it is", seen=lines)
