"""The launchers of a gang wait for each other before torchrun starts, as long as it takes.

A pod may stand in a queue for hours while the others run. torchrun would end their ranks by a clock, as if
the code had failed. So each launcher publishes that it runs, and torchrun starts once all do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from .. import log
from ..storage.base import ClaimedOutput, Joined, OutputStore

BEAT = 20.0
"""Seconds between two beats of node 0's launcher."""
SILENCE = 900.0
"""Seconds without a new beat after which node 0's launcher is taken for dead."""
REMIND = 30.0
"""Seconds between two lines of the log about what is waited for."""


class GangLost(Exception):
    """A launcher that was there is not any more; the cause is on its node."""


class Stop(Protocol):
    """What ends a wait."""

    def raise_if_asked(self) -> None:
        """End here, when asked to stop."""


class NodeZeroWatch:
    """Whether node 0's launcher lives, by this node's clock alone: its beats must go on changing."""

    def __init__(self) -> None:
        self._beat: str | None = None
        self._changed = 0.0

    def see(self, beat: str | None, now: float) -> None:
        """Take in the newest beat; a launcher that never ran is waited for without end.

        Raises:
            GangLost: it has not changed for too long.
        """
        if beat != self._beat:
            self._beat, self._changed = beat, now
        elif beat is not None and now - self._changed > SILENCE:
            raise GangLost(f"node 0's launcher has given no sign for {now - self._changed:.0f} s")


class Presence:
    """Publishes again and again that this node's launcher runs, until it is closed."""

    def __init__(self, claimed: ClaimedOutput, node_rank: int) -> None:
        self._claimed, self._node_rank = claimed, node_rank
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        claimed.publish_up(node_rank, 0)
        self._thread.start()

    def close(self) -> None:
        """Publish nothing from now on."""
        self._closed.set()
        self._thread.join(BEAT)

    def _run(self) -> None:
        beat = 0
        while not self._closed.wait(BEAT):
            beat += 1
            try:
                self._claimed.publish_up(self._node_rank, beat)
            except OSError as error:
                log.get().warning("could not publish that this node runs", error=str(error))


def await_start(
    store: OutputStore, node_rank: int, stop: Stop, clock: Callable[[], float] = time.monotonic
) -> Joined:
    """Other nodes: wait until node 0 has published the start, as long as its launcher lives.

    Raises:
        GangLost: node 0's launcher has died.
        NodeZeroFailed: node 0 gave up.
    """
    watch, reminded = NodeZeroWatch(), float("-inf")
    while True:
        stop.raise_if_asked()
        joined = store.read_start(node_rank)
        if joined:
            return joined
        watch.see(store.heartbeat(), clock())
        if clock() - reminded >= REMIND:
            reminded = clock()
            log.get().info("waiting for node 0 to prepare the data")
        time.sleep(store.poll)


def missing(up: set[int], nodes: int) -> list[int]:
    """Nodes of the gang whose launcher has not been seen."""
    return sorted(set(range(nodes)) - up)


def await_gang(
    claimed: ClaimedOutput, poll: float, stop: Stop, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until the launchers of all nodes run, without a deadline: who is late may be in a queue."""
    nodes = claimed.job.spec.nodes
    pause = Pause(nodes, poll, stop, clock)
    while absent := missing(claimed.nodes_up(), nodes):
        pause(absent)


class Pause:
    """Between two looks for what other nodes publish. Says now and then which ones are waited for."""

    def __init__(
        self, nodes: int, poll: float, stop: Stop, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._nodes, self._poll, self._stop, self._clock = nodes, poll, stop, clock
        self._reminded = clock()

    def __call__(self, absent: Sequence[int]) -> None:
        """Wait until it is time to look again.

        Raises:
            Interrupted: asked to stop.
        """
        self._stop.raise_if_asked()
        if self._clock() - self._reminded >= REMIND:
            self._reminded = self._clock()
            names = ", ".join(str(node) for node in absent[:8]) + (", ..." if len(absent) > 8 else "")
            up = self._nodes - len(absent)
            log.get().info("waiting for the other nodes", missing=names, up=up, nodes=self._nodes)
        time.sleep(self._poll)
