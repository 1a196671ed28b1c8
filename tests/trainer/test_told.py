"""`llmtrain run` tells receivers of the job before it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from harness.trainer.laptop import LaptopRun

SECRET = {"events": ["Succeeded"], "urlSecret": {"name": "slack"}}


class Receiver(BaseHTTPRequestHandler):
    """Answers the first POST with a 503 and takes the others."""

    heard: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.heard.append(body)
        self.send_response(503 if len(self.heard) == 1 else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    heard: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Receiver,), {"heard": heard}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/T0KEN", heard
    server.shutdown()
    server.server_close()


def test_a_job_of_this_machine_is_told_of(tmp_path: Path, receiver: tuple[str, list[dict[str, Any]]]) -> None:
    url, heard = receiver
    told = LaptopRun(tmp_path, "told")
    spec = {
        "entrypoint": {"command": ["python3", "-c", "print('hello')"], "starter": "none"},
        "notify": [{"events": ["Running", "Succeeded"], "url": url}, SECRET],
        "output": {"uri": "pvc://checkpoints/told"},
    }
    told.ask(spec)
    told.to_the_end()
    assert told.codes == [0], told.text()
    assert "spec.notify[1] is not told" in told.text()
    uid = told.object()["metadata"]["uid"]
    assert sorted({event["id"] for event in heard}) == [f"{uid}/Running/0", f"{uid}/Succeeded/0"]
    assert len(heard) == 3, "the first was told again"
    states = [one["state"] for one in told.object()["status"]["notifications"]]
    assert states == ["Delivered", "Delivered"]
    logs = [path for path in tmp_path.rglob("*") if path.is_file() and b"T0KEN" in path.read_bytes()]
    assert {path.name for path in logs} == {"job.yaml", "told.json"}, "the manifest and the object alone"
