"""A limit on the processor time of code of somebody else, which might never end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 0.1
"""It is raised again and again: where Python is just in a finalizer, an exception is ignored."""


class CpuLimit(Exception):
    """The time is used up."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Stop what runs inside of ``with`` once it has computed for so long; waiting does not count.

    Only a process's main thread can be stopped: elsewhere there is no limit.

    Args:
        seconds: of a processor, in this process.

    Raises:
        CpuLimit: the time is used up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise CpuLimit

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
