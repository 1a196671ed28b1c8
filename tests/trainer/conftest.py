"""One finished job that many tests inspect."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.trainer.launches import Launch
from harness.trainer.scraper import Scraper

PROOFS = (
    "test_resume_layouts.py",
    "test_kills.py",
    "test_object_store.py",
    "test_sdk.py",
    "test_own_program.py",
    "test_sweep.py",
    "test_adapter_sweep.py",
    "test_stragglers.py",
    "test_examples.py",
    "test_memory.py",
    "test_sets_of_tasks.py",
    "test_nonfinite.py",
    "test_gpu_bench.py",
    "test_bench.py",
)
"""Files for `make proofs`, the longest first: with two workers the layer ends when the last of them does."""


LONG = ("test_local_run.py", "test_readme.py", "test_finished_job.py")
"""The longest files of `make test`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long files and begin with them: with ``--dist loadfile`` a file stays in one worker."""
    order = {name: place for place, name in enumerate((*PROOFS, *LONG))}
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and item.path.name in PROOFS:
            item.add_marker(pytest.mark.proof)
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@dataclass
class Operator:
    """Stands in for the operator's progress server."""

    server: ThreadingHTTPServer
    reports: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)


@pytest.fixture(scope="session")
def operator() -> Iterator[Operator]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/report":
                seen.reports.append(json.loads(body))
            seen.tokens.add(self.headers.get("Authorization", ""))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    seen = Operator(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    thread = threading.Thread(target=seen.server.serve_forever, daemon=True)
    thread.start()
    yield seen
    seen.server.shutdown()
    seen.server.server_close()


@pytest.fixture(scope="session")
def scraper() -> Scraper:
    return Scraper(ranks=2)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, operator: Operator, scraper: Scraper
) -> Iterator[Launch]:
    """A job that ran to its end, undisturbed, reporting to ``operator``; nothing of it is forked."""
    work = tmp_path_factory.mktemp("finished")
    token = work / "token"
    token.write_text("secret-token\n")
    port = operator.server.server_address[1]
    asked = job(
        work / "output",
        training={"maxSteps": 200, "learningRate": 1e-2, "globalBatchSize": 16, "microBatchSize": 8},
        checkpoint={"everySteps": 50},
        evaluation={"everySteps": 100},
    )
    report = {"url": f"http://127.0.0.1:{port}", "tokenFile": str(token)}
    launch = Launch(work, asked, report=report, metrics_port=scraper.port, cold=True)
    try:
        with scraper.running():
            assert launch.wait() == 0, launch.text()
        yield launch
    finally:
        launch.end()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"
