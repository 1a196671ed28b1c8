"""What `helm test` runs: it waits for an operator, and says why it waited in vain."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from harness.ports import free_port

from llmtrain_operator import probe
from llmtrain_operator.engine.known_jobs import KnownJobs
from llmtrain_operator.engine.workqueue import WorkQueue
from llmtrain_operator.health import application
from llmtrain_operator.kube.store import PodStore
from llmtrain_operator.metrics import OperatorMetrics
from llmtrain_operator.serve import Servers


@contextmanager
def server(*answers: tuple[int, str]) -> Iterator[str]:
    """Answers one after the other, the last again and again."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None: ...

    found = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{found.server_address[1]}"
    finally:
        found.shutdown()
        found.server_close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PAUSE_SECONDS", 0.01)


def test_it_waits_for_one_that_comes_up(capsys: pytest.CaptureFixture[str]) -> None:
    with server((503, "the first pod list is not in yet"), (200, f"{probe.OWN_SERIES} 1.0")) as url:
        assert probe.main([f"{url}/"]) == 0
    assert capsys.readouterr().out.startswith("ready: ")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((503, "nothing heard of pods for 700 s"), "answers 503: nothing heard of pods for 700 s"),
        ((200, "<html>"), "is no operator of training jobs"),
    ],
)
def test_it_says_why_it_waited_in_vain(answer: tuple[int, str], why: str) -> None:
    with server(answer) as url:
        assert probe.wait_until_ready(url, 0.05) == f"{url} {why}"


def test_nobody_there_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "wait_until_ready", lambda url: probe._refusal(url))
    assert probe.main([f"http://127.0.0.1:{free_port()}"]) == 1
    assert "does not answer" in capsys.readouterr().out
    assert probe.main([]) == 2


async def test_the_operators_own_answer_is_taken_for_one() -> None:
    class Synced:
        synced = asyncio.Event()
        last_heard = time.monotonic()

    Synced.synced.set()
    metrics = OperatorMetrics(KnownJobs(), WorkQueue(), PodStore())
    async with Servers() as servers:
        reflector: Any = Synced()
        port = await servers.add_limited(application(reflector, metrics), 0, None, host="127.0.0.1")
        assert await asyncio.to_thread(probe.wait_until_ready, f"http://127.0.0.1:{port}", 5.0) is None
