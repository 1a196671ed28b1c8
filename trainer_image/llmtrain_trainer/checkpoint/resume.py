"""From which checkpoint an attempt goes on, and how. No torch: the launcher decides with this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmtrain_api import JobFile, Layout, ResumeFrom

from ..output import Output
from ..records import ResumeRecord
from .manifest import Manifest, layout_of, newest_good, require_same

TITLE = 160
"""Characters of an origin that a note shows."""


@dataclass(frozen=True)
class Resume:
    """The checkpoint to load.

    Attributes:
        step: optimizer steps done in it.
        layout: that it was written in.
        weights_only: whether the optimizer starts anew.
        origin: whose it is, where this job only began with it; empty otherwise.
    """

    step: int
    layout: Layout
    weights_only: bool = False
    origin: str = ""

    def as_saved(self, layout: Layout) -> bool:
        """Whether each rank finds its own state as it was saved: DeepSpeed's own load, bit-equal."""
        return self.layout == layout and not self.weights_only

    def note(self, layout: Layout) -> str:
        """What is not usual about it, for people; empty when nothing is."""
        unusual = [f"begins with step {self.step} of {self.origin}"] if self.origin else []
        if self.layout != layout:
            unusual.append(f"from layout {self.layout} to {layout}")
        if self.weights_only:
            unusual.append("weights only, the optimizer starts anew")
        return "; ".join(unusual)

    @property
    def record(self) -> ResumeRecord:
        """The form in which ``attempt-K.ready`` holds it."""
        return ResumeRecord(
            step=self.step, layout=self.layout, weights_only=self.weights_only, origin=self.origin
        )

    @classmethod
    def of(cls, record: ResumeRecord) -> Resume:
        """The same, read back from what `record` gave."""
        return cls(record.step, record.layout, record.weights_only, record.origin)


def choose(
    output: Output, job: JobFile, fingerprints: dict[str, Any], say: Callable[[int, str], None]
) -> Resume | None:
    """The newest checkpoint that is whole; None when there is none.

    ``resumeFrom: weights`` is about a checkpoint that another job left, also where a copy of it is the first
    of this one. This job's own are always resumed in full, or each restart would throw the optimizer's state
    away again.

    Args:
        output: where to look.
        job: this job.
        fingerprints: of its data, model and batch.
        say: told the step and the reason of each torn checkpoint.

    Raises:
        ConfigError: the checkpoint belongs to other data, another model or another batch.
    """
    found = newest_good(output, say)
    return resume_of(job, *found, fingerprints) if found else None


def resume_of(job: JobFile, step: int, manifest: Manifest, fingerprints: dict[str, Any]) -> Resume:
    """How a checkpoint that is whole is gone on from; see `choose`.

    Raises:
        ConfigError: it belongs to other data, another model or another batch.
    """
    weights_only = starts_anew(job, manifest)
    require_same(manifest, fingerprints, weights_only=weights_only)
    origin = job.origin.title[:TITLE] if _foreign(job, manifest) and job.origin else ""
    return Resume(step, layout_of(manifest), weights_only, origin)


def starts_anew(job: JobFile, manifest: Manifest) -> bool:
    """Whether a job takes only the weights of a checkpoint, and its optimizer starts anew."""
    return _foreign(job, manifest) and job.spec.checkpoint.resume_from is ResumeFrom.WEIGHTS


def _foreign(job: JobFile, manifest: Manifest) -> bool:
    return manifest.job_uid != job.job.uid
