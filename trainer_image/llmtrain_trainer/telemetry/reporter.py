"""Posts progress to the operator in a thread; training never waits for it. Standard library only."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llmtrain_api import JobFile, ProgressReport, ProgressUpdate, ReportTarget, Stage, changed
from llmtrain_api.names import REPORT_PATH

from .. import log

INTERVAL = 2.0
TIMEOUT = 5.0


class Reporter:
    """Keeps the newest state and posts it: at once when urgent, otherwise every two seconds at most.

    Args:
        job: whose progress it is.
        stage: that begins.
        news: asked before each post for what else has changed; None for nothing.
    """

    def __init__(
        self, job: JobFile, stage: Stage, news: Callable[[], ProgressUpdate | None] = lambda: None
    ) -> None:
        self._target, self._news = job.report, news
        self._report = ProgressReport(job_uid=job.job.uid, attempt=job.attempt, stage=stage)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._dirty = False
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        if self._target:
            self._thread.start()

    def update(self, news: ProgressUpdate | None = None, *, urgent: bool = False) -> None:
        """Change what the report says.

        Args:
            news: the fields that are set in it replace those of the report; None = send it as it is.
            urgent: post now: a stage, a resume, a commit, an end.
        """
        with self._lock:
            self._report = changed(self._report, **_set(news))
            self._dirty = True
        if urgent:
            self._wake.set()

    def close(self) -> None:
        """Post what is left, waiting for one try at most."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT + 1)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(INTERVAL)
            self._wake.clear()
            self._ask()
            self._post()

    def _ask(self) -> None:
        news = self._news()
        if news is not None and changed(self._report, **_set(news)) != self._report:
            self.update(news)

    def _post(self) -> None:
        with self._lock:
            if not self._dirty:
                return
            body, self._dirty = self._report, False
        try:
            assert self._target is not None
            post(self._target, body)
            self._complained = False
        except (OSError, ValueError) as error:
            with self._lock:
                self._dirty = True  # tried again with the next, newer state
            if not self._complained:
                log.get().warning("progress report failed; training goes on", error=str(error))
                self._complained = True


def _set(news: ProgressUpdate | None) -> dict[str, Any]:
    return {name: getattr(news, name) for name in news.model_fields_set} if news else {}


def post(target: ReportTarget, report: ProgressReport) -> None:
    """One POST. The token is read each time, as the kubelet renews it."""
    url = target.url if urlsplit(target.url).path.strip("/") else target.url.rstrip("/") + REPORT_PATH
    headers = {"Content-Type": "application/json"}
    if target.token_file:
        headers["Authorization"] = f"Bearer {Path(target.token_file).read_text().strip()}"
    request = urllib.request.Request(
        url, json.dumps(report.to_json(), allow_nan=False).encode(), headers, method="POST"
    )
    context = ssl.create_default_context(cafile=target.ca_file) if url.startswith("https") else None
    with urllib.request.urlopen(request, timeout=TIMEOUT, context=context) as answer:
        answer.read()
