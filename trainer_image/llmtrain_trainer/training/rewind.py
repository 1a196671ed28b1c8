"""Back to the newest checkpoint, all ranks together and within the attempt."""

from __future__ import annotations

from ..checkpoint.manifest import layout_of, manifest_of
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
    folder = store.fetch(back)
    manifest = manifest_of(folder)
    # it may be the one that this attempt came from, of another layout
    load_from(store, engine, folder, Resume(back, layout_of(manifest)))
    run_state.skip(step)
    run_state.restore(manifest.run_state)
    progress.rewound(step, back)
    return back
