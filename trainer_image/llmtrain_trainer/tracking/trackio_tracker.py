"""Trackio: a local database, or a Space of the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .tracker import Run, Tracker


class TrackioTracker:
    """A run of Trackio."""

    def __init__(self, trackio: Any) -> None:
        self._trackio = trackio

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self._trackio.log(dict(values), step=step)

    def finish(self, summary: Mapping[str, float], *, succeeded: bool) -> None:
        """Its results as a last row, and its end."""
        del succeeded
        if summary:
            self._trackio.log(dict(summary))
        self._trackio.finish()


def open_run(run: Run) -> Tracker:
    """Begin the run, or go on with the one of that name and id."""
    os.environ.setdefault("TRACKIO_DIR", str(run.folder / "trackio"))
    import trackio

    where = {} if run.offline or run.uri is None else {"space_id": run.uri}
    name = f"{run.name}-{run.id[:8]}"
    trackio.init(project=run.project, name=name, config=dict(run.config), resume="allow", **where)
    return TrackioTracker(trackio)
