"""A queue of keys: a key waits once, is worked on by one worker at a time, and may come back later."""

from __future__ import annotations

import asyncio
import random

Key = tuple[str, str]
"""(namespace, name) of a job."""

FIRST_BACKOFF_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 60.0


class WorkQueue:
    """Deduplicating, with delays and a backoff a key."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._working: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: Key) -> None:
        """Work on it soon. While it is being worked on: once more after that."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Work on it in so many seconds, or earlier if something else wakes it; the earliest timer wins."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0.0)
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_at(due, self._fire, key)

    def add_failed(self, key: Key) -> float:
        """Work on it again after its backoff. Returns the seconds."""
        delay = self.backoff(key)
        self.add_after(key, delay)
        return delay

    def failures(self, key: Key) -> int:
        """How often it failed in a row."""
        return self._failures.get(key, 0)

    def backoff(self, key: Key) -> float:
        """It failed once more. Returns the seconds to wait, which double."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(count, 20), MAX_BACKOFF_SECONDS)
        return delay * random.uniform(0.75, 1.25)

    def forget(self, key: Key) -> None:
        """It went well: the next failure begins at the first backoff."""
        self._failures.pop(key, None)

    def _fire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def get(self) -> Key:
        """The next key. Call `done` when through with it."""
        key = await self._ready.get()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: Key) -> None:
        """Through with it: it may be handed out again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
