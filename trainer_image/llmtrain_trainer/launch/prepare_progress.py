"""Tells the operator how far data preparation is, from the file that its process keeps up to date."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtrain_api import ProgressUpdate
from llmtrain_api.messages import MAX_ETA_SECONDS

from ..files import read_json
from ..telemetry.reporter import Reporter

EVERY = 2.0


@contextmanager
def told(file: Path, reporter: Reporter) -> Iterator[None]:
    """Report what a file says until the block ends."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(EVERY):
            if news := update_of(file):
                reporter.update(news)

    thread = threading.Thread(target=watch, name="preparation's progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def update_of(file: Path) -> ProgressUpdate | None:
    """What the file says of the step that reads all text; None before that step, or where nothing is said."""
    said = read_json(file) or {}
    try:
        left = max(0, int(said["bytesTotal"]) - int(said["bytes"]))
        seconds = left / max(1e-9, float(said["bytesPerSecond"]))
    except (KeyError, TypeError, ValueError):
        return None
    if said.get("step") != "rows" or seconds > MAX_ETA_SECONDS:
        return None
    return ProgressUpdate(eta_seconds=seconds)
