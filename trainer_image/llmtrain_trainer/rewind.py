"""Back to the newest checkpoint, all ranks together and within the attempt."""

from __future__ import annotations

from . import distributed
from .checkpoint.manifest import MANIFEST, course_of, layout_of, newest_good
from .checkpoint.resume import Resume
from .checkpoint.save import load
from .course import Course
from .distributed import Ranks
from .errors import DivergedError
from .files import read_json
from .output import Output
from .parallel.engine import Engine
from .telemetry.progress import Progress


def rewind(
    step: int, course: Course, engine: Engine, output: Output, ranks: Ranks, progress: Progress
) -> int:
    """Load the newest checkpoint and never train on the samples of ``step`` again.

    Returns:
        The step of the checkpoint.

    Raises:
        DivergedError: there is no checkpoint that is whole.
    """
    # one rank looks, as a folder may show on one node before it shows on another
    found = newest_good(output, lambda _step, _reason: None) if ranks.first else None
    [there] = distributed.total(ranks, float(found[0] + 1 if found else 0))
    if not there:
        raise DivergedError(f"step {step} leapt, and there is no checkpoint to go back to")
    back = int(there) - 1
    folder = output.step(back)
    # it may be the one that this attempt came from, of another layout
    load(engine, folder, Resume(back, layout_of(read_json(folder / MANIFEST) or {})))
    course.skip(step)
    course.restore(course_of(folder))
    progress.rewound(step, back)
    return back
