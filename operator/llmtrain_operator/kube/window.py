"""How many calls of the API server may be under way at once: as many as it says that it can take."""

from __future__ import annotations

import asyncio
from collections import deque

FIRST = 8
LEAST = 2


class Window:
    """Slots for calls: few at first, twice as many with each round of answers. A server that is busy halves
    them, and from there they grow by one a round, as TCP's do.

    Args:
        most: slots that it never goes beyond.
        first: those that it begins with.
    """

    def __init__(self, most: int, first: int = FIRST) -> None:
        self._most = most
        self._size = float(min(first, most))
        self._threshold = float(most)
        self._round = 0
        self._under_way = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        """How many calls may be under way now."""
        return int(self._size)

    async def __aenter__(self) -> int:
        """Wait for a slot, first come first served. Returns the round that the call is of."""
        if self._waiting or self._under_way >= self.size:
            await self._turn()
        else:
            self._under_way += 1
        return self._round

    async def __aexit__(self, *_: object) -> None:
        self._under_way -= 1
        self._hand_out()

    async def _turn(self) -> None:
        """Until somebody has handed a slot over."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._under_way -= 1
                self._hand_out()
            raise

    def answered(self) -> None:
        """The server has answered a call, whatever it said."""
        self._size = min(
            self._size + (1.0 if self._size < self._threshold else 1.0 / self._size), float(self._most)
        )
        self._hand_out()

    def busy(self, of: int) -> None:
        """The server has too much to do. Calls that were under way together are told so together: the first
        counts, and the others are of a round that is over.

        Args:
            of: the round of the call.
        """
        if of == self._round:
            self._size = self._threshold = max(self._size / 2, float(min(LEAST, self._most)))
            self._round += 1

    def _hand_out(self) -> None:
        while self._waiting and self._under_way < self.size:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._under_way += 1


class Share(Window):
    """Half the slots of a window, for the calls of one namespace: the other half is for all others."""

    def __init__(self, of: Window) -> None:
        super().__init__(of.size)
        self._of = of

    @property
    def size(self) -> int:
        """How many calls may be under way now."""
        return max(1, self._of.size // 2)
