"""Takes the reports of a program of one's own on this machine, notes when they came, and passes them on.

Programs speak Kubeflow Trainer's protocol (`llmtrain_api.kubeflow`), as the operator's server does; by way of
here, the launcher knows how far they are, and judges without a network whether they go on.
"""

from __future__ import annotations

import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from llmtrain_api import ReportTarget, kubeflow

from .. import log

MAX_BODY = 64 * 1024
TIMEOUT = 4.0
"""Seconds for the operator's answer: the callback itself waits for five."""
READ_TIMEOUT = 5.0


class Relay:
    """An HTTP server on this machine alone, in threads of its own.

    Attributes:
        step: the newest that was told; None before.
        total_steps: as it was told; None before.
    """

    def __init__(self, target: ReportTarget, clock: Callable[[], float] = time.monotonic) -> None:
        self._target, self._clock = target, clock
        self.step: int | None = None
        self.total_steps: int | None = None
        self._heard: float | None = None
        self._complained = False
        relay = self

        class Handler(BaseHTTPRequestHandler):
            """One report."""

            timeout = READ_TIMEOUT

            def do_POST(self) -> None:
                """Note it and pass it on; the operator's answer is the answer."""
                size = self.headers.get("Content-Length", "")
                if not size.isdigit() or int(size) > MAX_BODY:
                    self.send_error(413)
                    return
                self.send_response(
                    relay.take(self.rfile.read(int(size)), self.headers["Authorization"] or "")
                )
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: reports come every few seconds."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="relay", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a program posts."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{kubeflow.STATUS_PATH}"

    def silence(self) -> float | None:
        """Seconds since the program last told of a step; None before the first, and after its last word."""
        return None if self._heard is None else self._clock() - self._heard

    def take(self, body: bytes, authorization: str) -> int:
        """One report: the HTTP status of the answer."""
        try:
            told = kubeflow.read(body)
        except ValueError:
            return 400
        update = kubeflow.update_of(told, self.total_steps)
        self.total_steps = self.total_steps if update.total_steps is None else update.total_steps
        if update.step is not None:
            self.step = update.step
            self._heard = self._clock() if update.step else None
        if told.trainer_status.progress_percentage == kubeflow.DONE:
            # what follows, such as a last save, takes as long as it takes
            self._heard = None
        return self._pass_on(body, authorization)

    def close(self) -> None:
        """Take no more."""
        self._server.shutdown()
        self._server.server_close()

    def _pass_on(self, body: bytes, authorization: str) -> int:
        target = urlsplit(self._target.url)
        url = f"{target.scheme}://{target.netloc}{kubeflow.STATUS_PATH}"
        headers = {"Content-Type": "application/json", "Authorization": authorization}
        request = urllib.request.Request(url, body, headers, method="POST")
        try:
            context = (
                ssl.create_default_context(cafile=self._target.ca_file) if target.scheme == "https" else None
            )
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            self._complain(f"the operator answers {error.code}")
            return error.code
        except (OSError, ValueError) as error:
            self._complain(str(error))
            return 503

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            log.get().warning("a progress report was not passed on; training goes on", error=reason)
