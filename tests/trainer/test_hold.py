"""A node whose ranks have failed is held: released, or ended by SIGTERM, it ends as it would have."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job
from harness.trainer.launches import Launch, run_verb

from llmtrain_api import JobFile
from llmtrain_api.names import RELEASE_FILE

HOLD = {"holdSeconds": 3600}


class Operator(BaseHTTPRequestHandler):
    """Takes reports."""

    heard: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def operator() -> Iterator[tuple[dict[str, str], list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Operator,), {"heard": heard}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"url": f"http://127.0.0.1:{server.server_port}"}, heard
    server.shutdown()
    server.server_close()


def says(launch: Launch, text: str) -> bool:
    """Whether its log has that; a launcher that has just been asked for has none."""
    return launch.log.exists() and text in launch.text()


def test_a_killed_rank_is_told_at_once_and_its_node_ends_when_it_is_released(
    work: Path, operator: tuple[dict[str, str], list[dict[str, Any]]]
) -> None:
    report, heard = operator
    asked = job(work / "output", training={"maxSteps": 5000}, recovery=HOLD)
    launch = Launch(work, asked, report=report)
    try:
        launch.until(lambda: launch.output.committed(), "a first checkpoint")
        os.kill(launch.descendants()[2], signal.SIGKILL)
        launch.until(lambda: heard[-1].get("held"), "word of the hold")
        held = heard[-1]["held"]
        assert "was killed by signal 9" in held["message"]
        assert not held.get("cascade")
        assert launch.message()["exitCode"] == -9, "a node that loses its power now has said it all"
        assert launch.descendants() == [], "its GPUs are free for whoever looks around"
        launch.until(lambda: says(launch, "held for debugging"), "the log's word of it")
        (Path(asked.scratch) / RELEASE_FILE).touch()
        assert launch.wait() == 1, launch.text()
        assert launch.message()["exitCode"] == -9
        assert "no longer held" in launch.text()
    finally:
        launch.end()


def too_little(work: Path) -> JobFile:
    (work / "text").mkdir(parents=True)
    (work / "text/a.txt").write_text("too short")
    return job(work / "output", dataset={"name": f"file://{work / 'text'}"}, recovery=HOLD)


def test_what_runs_before_the_gang_is_not_held(work: Path) -> None:
    """Its next try follows by itself, and it holds no GPUs that somebody could look at."""
    path = work / "job.json"
    asked = too_little(work)
    path.write_text(asked.model_dump_json(by_alias=True, exclude_none=True))
    done = run_verb(work, "launch", str(path), "--only-prepare")
    assert done.returncode == 78, done.stderr
    assert "too small" in done.stdout + done.stderr


def test_a_node_that_is_held_ends_by_sigterm_as_it_failed(work: Path) -> None:
    """As with a suspension, a limit, or a job that is deleted."""
    launch = Launch(work, too_little(work))
    try:
        launch.until(lambda: says(launch, "held for debugging"), "the hold")
        os.kill(launch.process.pid, signal.SIGTERM)
        assert launch.wait() == 78, launch.text()
        assert launch.message()["failureClass"] == "ConfigError"
    finally:
        launch.end()
