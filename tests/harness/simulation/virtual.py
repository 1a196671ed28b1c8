"""Time that passes only when everybody waits: hours of a job in milliseconds, the same way each time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
MOST_ROUNDS = 1_000
"""Of the loop at one moment: no life without a bug has more than some dozens."""


class Stuck(AssertionError):
    """Everybody waits for something that nobody will do, or works on without end while no time passes."""


class _Selector(selectors.BaseSelector):
    """Watches nothing: instead of waiting, it moves the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._rounds = 0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("no timer is set and nothing is ready")
        before, self.now = self.now, self.now + max(timeout, 0.0)
        # what is shorter than the clock can tell is no time
        self._rounds = self._rounds + 1 if self.now == before else 0
        if self._rounds > MOST_ROUNDS:
            raise Stuck("work goes on without end, and no time passes")
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose ``time()`` is virtual."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never waits, such as a call of the API in memory."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("it waited")
