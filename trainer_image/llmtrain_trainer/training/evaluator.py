"""What is measured of the trained engine on held-out rows, and what goes on record of it for the export."""

from __future__ import annotations

from dataclasses import dataclass

from llmtrain_api import JobFile

from ..checkpoint.manifest import Metrics
from ..data.loader import open_held_out
from ..data.rows import Ids
from ..distributed import Ranks
from ..floats import finite
from ..parallel.engine import Engine
from ..records import EvaluationRecord
from ..storage.start_marker import Start
from ..tasks import Encoder
from .held_out import Checked, HeldOutLoss, checked, held_out_loss
from .reference import Reference
from .rollouts import Rollouts


@dataclass(frozen=True)
class Evaluator:
    """Measures one rank's engine, all ranks together.

    Attributes:
        job: that is trained.
        start: of the attempt.
        ranks: of the gang.
        engine: of this rank.
        task: of the job.
        reference: what the start model says of the rows, where that counts.
        rollouts: which write answers, where those are what is measured.
    """

    job: JobFile
    start: Start
    ranks: Ranks
    engine: Engine
    task: Encoder
    reference: Reference | None
    rollouts: Rollouts | None

    @property
    def rows(self) -> Ids:
        """The rows that are held out."""
        return self.reference.with_held_out() if self.reference else open_held_out(self.start.output.data)

    def loss(self) -> HeldOutLoss:
        """The held-out loss of the weights that the engine has now."""
        if self.rollouts:
            return self.rollouts.held_out_loss(self.rows)
        return held_out_loss(self.engine, self.ranks, self.task, self.rows)

    def record(self, step: int, exported: int, whole: HeldOutLoss, metrics: Metrics) -> EvaluationRecord:
        """What the export of the engine's weights is compared with.

        Args:
            step: the last one that was trained.
            exported: the one whose weights the engine has.
            whole: their loss, as `loss` found it.
            metrics: of that step.
        """
        few = self._checked(whole)
        return EvaluationRecord(
            step=step,
            exported_step=exported,
            loss=finite(whole.mean),
            tokens=int(whole.labels),
            checked_sequences=few.sequences,
            checked_loss=finite(few.loss),
            train_loss=metrics.train_loss,
            fairness_penalty=metrics.fairness_penalty,
            measures={name: finite(value) for name, value in whole.measures.items()},
        )

    def _checked(self, whole: HeldOutLoss) -> Checked:
        if self.rollouts:
            return self.rollouts.checked(self.rows)
        parameters = self.job.shape.parameters
        return checked(self.engine, self.ranks, self.task, self.rows, parameters, whole)
