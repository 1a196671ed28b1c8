"""Back to an earlier checkpoint, all ranks together and within the attempt."""

from __future__ import annotations

from .. import log
from ..checkpoint.manifest import Manifest, layout_of, manifest_of
from ..checkpoint.resume import Resume
from ..checkpoint.save import load_from
from ..checkpoint.store import CheckpointStore
from ..errors import DivergedError
from ..parallel.engine import Engine
from ..telemetry.sinks import Progress
from .run_state import RunState


def rewind(step: int, run_state: RunState, engine: Engine, store: CheckpointStore, progress: Progress) -> int:
    """Load the newest checkpoint and never train on the samples of ``step`` again.

    Returns:
        The step of the checkpoint.

    Raises:
        DivergedError: there is no checkpoint that is whole.
    """
    back = store.newest()
    if back is None:
        raise DivergedError(
            f"step {step} spiked, and there is no checkpoint to go back to",
            "set checkpoint.everySteps, lower training.learningRate, or raise training.warmupSteps",
        )
    manifest = _load(back, engine, store)
    run_state.skip(step)
    run_state.restore(manifest.run_state)
    progress.rewound(step, back)
    return back


def load_best(done: int, engine: Engine, store: CheckpointStore) -> Manifest | None:
    """Load the step with the lowest held-out loss, for the export.

    Returns:
        What it says of itself; None where ``done``, which the engine has, is exported.
    """
    best = store.best()
    if best is None:
        log.get().warning("no step was kept as the best: the last one is exported", step=done)
    return None if best is None or best == done else _load(best, engine, store)


def _load(step: int, engine: Engine, store: CheckpointStore) -> Manifest:
    folder = store.fetch(step)
    manifest = manifest_of(folder)
    # it may be the one that this attempt came from, of another layout
    load_from(store, engine, folder, Resume(step, layout_of(manifest)))
    return manifest
