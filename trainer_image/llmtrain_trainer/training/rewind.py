"""Back to the newest checkpoint, all ranks together and within the attempt."""

from __future__ import annotations

from .. import distributed
from ..checkpoint.manifest import layout_of, manifest_of
from ..checkpoint.resume import Resume
from ..checkpoint.save import load
from ..checkpoint.store import CheckpointStore
from ..distributed import Ranks
from ..errors import DivergedError
from ..parallel.engine import Engine
from ..telemetry.sinks import Progress
from .run_state import RunState


def rewind(
    step: int, run_state: RunState, engine: Engine, store: CheckpointStore, ranks: Ranks, progress: Progress
) -> int:
    """Load the newest checkpoint and never train on the samples of ``step`` again.

    Returns:
        The step of the checkpoint.

    Raises:
        DivergedError: there is no checkpoint that is whole.
    """
    # one rank looks, as a folder may show on one node before it shows on another
    found = store.newest() if ranks.first else None
    [there] = distributed.all_reduce_sum_float(ranks, float(0 if found is None else found + 1))
    if not there:
        raise DivergedError(
            f"step {step} spiked, and there is no checkpoint to go back to",
            "set checkpoint.everySteps, lower training.learningRate, or raise training.warmupSteps",
        )
    back = int(there) - 1
    folder = store.fetch(back)
    manifest = manifest_of(folder)
    # it may be the one that this attempt came from, of another layout
    load(engine, folder, Resume(back, layout_of(manifest)))
    run_state.skip(step)
    run_state.restore(manifest.run_state)
    progress.rewound(step, back)
    return back
