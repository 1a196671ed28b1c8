"""One rank's part of a learning rate range test: no checkpoint, no evaluation, no model in the end."""

from __future__ import annotations

from typing_extensions import override

from llmtrain_api.schema.range_test import RangeTest, leapt

from .. import log
from ..errors import DivergedError
from ..optim.lr_schedules import Share
from .loop import Training
from .votes import StopRequest


class RangeTraining(Training):
    """Trains while the learning rate rises, until the loss leaps. ``metrics.jsonl`` has each step."""

    @property
    def test(self) -> RangeTest:
        """What is tested."""
        assert self.job.range_test is not None
        return self.job.range_test

    @override
    def share(self) -> Share:
        test, total, updates = self.test, self.length.steps, self.job.spec.updates_a_step
        return lambda update: test.share(update // updates, total)

    @override
    def run(self, stop: StopRequest) -> None:
        done, losses = self.begin(), list[float]()
        while done < self.length.steps and not (losses and leapt(losses, self.length.steps)):
            try:
                done = self.train_step(done, stop).done
            except DivergedError as error:
                # no update for many steps: the end of what can be tested
                log.get().info("the range test ends", reason=str(error))
                break
            # all ranks have the same sum, so all of them stop at the same step
            losses.append(self.loss)
        self.feed.close()
        self.progress.close()

    @override
    def before_stopping(self, done: int) -> str:
        return f"step {done} of a range test, of which nothing is saved"
