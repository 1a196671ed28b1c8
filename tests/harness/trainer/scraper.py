"""A Prometheus that reads the ranks of a small job while it runs."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

INTERVAL = 0.1


class Scraper:
    """Keeps the newest page of each rank."""

    def __init__(self, ranks: int) -> None:
        self.port = _free_ports(ranks)
        self.pages: dict[int, str] = {}
        self._ranks = ranks
        self._ended = threading.Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Scrape as long as the job runs."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def families(self, rank: int) -> dict[str, Metric]:
        """A rank's metric families by name, of its last page."""
        return {family.name: family for family in text_string_to_metric_families(self.pages[rank])}

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL):
            for rank in range(self._ranks):
                with (
                    suppress(OSError),
                    urllib.request.urlopen(
                        f"http://127.0.0.1:{self.port + rank}/metrics", timeout=5
                    ) as answer,
                ):
                    self.pages[rank] = answer.read().decode()


def _free_ports(count: int) -> int:
    """The first of some ports in a row that nobody uses."""
    for first in range(20000, 30000, count):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")
