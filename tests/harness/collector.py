"""A collector of traces on this machine: it reads what is posted as OTLP has it."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NANO = 1_000_000_000


@dataclass
class Collector:
    """What came in.

    Attributes:
        requests: path and headers of each request.
        spans: all spans, in the order in which they came.
        resources: attributes of who sent them.
    """

    port: int = 0
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def names(self) -> list[str]:
        return [span.name for span in self.spans]


@contextmanager
def collector(status: int = 200, answers: threading.Event | None = None) -> Iterator[Collector]:
    """Takes traces.

    Args:
        status: what it answers with.
        answers: what it waits for before it answers.
    """
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            request = ExportTraceServiceRequest.FromString(body)
            found.requests.append((self.path, dict(self.headers.items())))
            for one in request.resource_spans:
                found.resources.append({a.key: a.value.string_value for a in one.resource.attributes})
                found.spans += [span for scope in one.scope_spans for span in scope.spans]
            if answers is not None:
                answers.wait(30)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
