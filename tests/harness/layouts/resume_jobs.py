"""Training that dies and goes on in another layout: the product's engine, fence, checkpoints and resume.

``python -m harness.layouts.resume_jobs FOLDER [WORD]`` runs them, in a process that computes nothing (with
``LLMTRAIN_RESUME=all`` also those that `make test` leaves out), and leaves what the ranks saw in FOLDER for
`trainer/test_resume_layouts.py` to judge.
"""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.layouts.forked_gang import fork_each, gang
from harness.layouts.resume_rank import STEPS, job_of, rank_main
from harness.layouts.rows import Row
from harness.layouts.worker import first_weights

from llmtrain_api import Layout
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.checkpoint.resume import choose
from llmtrain_trainer.storage.start_marker import Start

ONE, TWO, THREE, FOUR = (Layout(data=ranks) for ranks in (1, 2, 3, 4))
TENSOR, PIPE, SEQUENCE = Layout(tensor=2), Layout(pipeline=2), Layout(sequence=2)
PLAIN, WHOLE = Layout(zero=0), Layout(data=2, zero=0)


@dataclass(frozen=True)
class ResumeJob:
    """One job.

    Attributes:
        layouts: of its attempts, one after the other; all but the last end by kill -9.
        weights_only: each attempt is a job of its own that takes only the weights of the one before.
        compiled: numbers of the attempts whose layers are compiled.
        adapter: adapters are trained, beside frozen weights.
    """

    layouts: tuple[Layout, ...]
    family: str = "llama"
    precision: str = "fp32"
    weights_only: bool = False
    compiled: tuple[int, ...] = ()
    adapter: bool = False

    def row(self, attempt: int) -> Row:
        """What an attempt computes."""
        return Row(
            self.family,
            self.layouts[attempt],
            4,
            precision=self.precision,
            compiled=attempt in self.compiled,
            adapter=self.adapter,
        )

    @property
    def undisturbed(self) -> ResumeJob:
        """The same job when nothing dies."""
        return ResumeJob(self.layouts[:1], self.family, self.precision, adapter=self.adapter)

    def until(self, attempt: int) -> int:
        """The step that an attempt saves last."""
        return STEPS * (attempt + 1) // len(self.layouts)

    def __str__(self) -> str:
        layouts = " - ".join(str(layout) for layout in self.layouts)
        weights = " weights" if self.weights_only else ""
        compiled = f" compiled {self.compiled}" if self.compiled else ""
        compiled += " adapter" if self.adapter else ""
        return re.sub(
            r"[^a-z0-9+-]+", "_", f"{self.family} {self.precision} {layouts}{weights}{compiled}"
        ).strip("_")


ALL = os.environ.get("LLMTRAIN_RESUME") == "all"
"""Whether also those of `LONG` are run, as `make resume` does."""

EVERY_SAME = [
    *(
        ResumeJob((layout, layout))
        for layout in (
            PLAIN,
            *(Layout(data=2, zero=zero) for zero in (0, 1, 2, 3)),
            *(Layout(data, tensor=2) for data in (1, 2)),
            *(Layout(data, pipeline=2) for data in (1, 2)),
            *(Layout(data, sequence=2) for data in (1, 2)),
        )
    ),
    *(ResumeJob((layout, layout), precision="bf16") for layout in (TWO, Layout(data=2, zero=3))),
    *(ResumeJob((layout, layout), adapter=True) for layout in (PLAIN, WHOLE, Layout(data=2, zero=3))),
    ResumeJob((TWO, TWO), precision="bf16", adapter=True),
]
EVERY_OTHER = [
    ResumeJob((FOUR, TWO, FOUR)),
    ResumeJob((FOUR, THREE)),
    ResumeJob((TWO, TWO, TWO), compiled=(0, 2)),
    ResumeJob((TENSOR, ONE, TENSOR)),
    ResumeJob((TWO, Layout(data=2, zero=2), Layout(data=2, zero=3), TWO)),
    ResumeJob((Layout(data=3, zero=3), Layout(data=2, zero=2), Layout(data=4, zero=3))),
    ResumeJob((PIPE, ONE, PIPE), family="llama-tied"),
    ResumeJob((SEQUENCE, ONE, SEQUENCE)),
    ResumeJob((PLAIN, Layout(data=2, zero=3), PLAIN), family="gpt2"),
    ResumeJob((WHOLE, TENSOR, Layout(data=3, zero=0), Layout(data=2, zero=2), WHOLE), family="qwen-tied"),
    ResumeJob((WHOLE, PLAIN, WHOLE), family="t5", adapter=True),
    ResumeJob((Layout(data=2, tensor=2, zero=3), PIPE, Layout(tensor=2, zero=2)), family="qwen-tied"),
    ResumeJob((Layout(data=2, zero=3), TENSOR, ONE), family="bert"),
    ResumeJob((TWO, Layout(data=3, zero=3)), family="t5"),
    ResumeJob((TWO, Layout(data=3, zero=3), TENSOR, PIPE), precision="bf16"),
    ResumeJob((PLAIN, Layout(data=2, zero=3), THREE, Layout(data=2, zero=2)), family="gpt2", adapter=True),
]
EVERY_WEIGHTS = [ResumeJob((layout, layout), weights_only=True) for layout in (TWO, Layout(data=2, zero=3))]

LONG = {
    *(ResumeJob((layout, layout)) for layout in (Layout(data=2, zero=2), Layout(2, tensor=2))),
    *(ResumeJob((layout, layout)) for layout in (Layout(2, pipeline=2), Layout(2, sequence=2))),
    ResumeJob((TWO, TWO), precision="bf16"),
    ResumeJob((FOUR, THREE)),
    ResumeJob((TWO, TWO, TWO), compiled=(0, 2)),
    ResumeJob((TWO, Layout(data=2, zero=2), Layout(data=2, zero=3), TWO)),
    ResumeJob((PLAIN, Layout(data=2, zero=3), PLAIN), family="gpt2"),
    ResumeJob((TWO, Layout(data=3, zero=3)), family="t5"),
    ResumeJob((TWO, TWO), weights_only=True),
}
"""Each has a neighbour that is always run; compiled layers are proven in the layer of layouts."""
SAME, OTHER, WEIGHTS = (
    [one for one in every if ALL or one not in LONG] for every in (EVERY_SAME, EVERY_OTHER, EVERY_WEIGHTS)
)


def run(job: ResumeJob, model: Path, root: Path) -> str | None:
    """All attempts of a job; what went wrong, if anything did."""
    for attempt, layout in enumerate(job.layouts):
        asked = job_of(job.row(attempt), attempt, root / "output", weights_only=job.weights_only)
        fence = raise_fence(claim(asked), asked, f"pod{attempt}")
        Start(fence, choose(fence.output, asked, {}, lambda *_: None), {}).publish()
        last = attempt == len(job.layouts) - 1
        main = partial(rank_main, asked, job.until(attempt), not last, model, root)
        error = gang(layout.world, main, root / f"attempt-{attempt}")
        killed = error is not None and "ended with -9" in error.splitlines()[0]
        if error and (last or not killed):
            return f"attempt {attempt}: {error}"
    return None


def main() -> int:
    """Live them all."""
    root, word = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    chosen = [job for job in (*SAME, *OTHER, *WEIGHTS) if word in str(job)]
    for job in dict.fromkeys(one for asked in chosen for one in (asked.undisturbed, asked)):
        began = time.monotonic()
        model = root / "initial" / job.family
        if not model.exists():
            spec = Row(job.family, Layout()).spec(clipping=0.0)
            assert fork_each(1, partial(first_weights, spec, model), root / "log") is None
        folder = root / str(job)
        folder.mkdir()
        error = run(job, model, folder)
        (folder / "error").write_text(error or "")
        print(f"{time.monotonic() - began:5.1f} s  {job}  {(error or '')[-1500:]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
