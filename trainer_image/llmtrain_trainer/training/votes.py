"""What ranks tell each other before a step, and where they stand after it."""

from __future__ import annotations

import signal
from typing import NamedTuple


class StopRequest:
    """Set by SIGTERM. Acted on only when all ranks agree, as a save needs all of them."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


class StepOutcome(NamedTuple):
    """Where training stands after a step.

    Attributes:
        done: optimizer steps done.
        rewound: whether that is an earlier checkpoint's step, as the state is.
    """

    done: int
    rewound: bool = False


class StepVotes(NamedTuple):
    """What a rank knows before a step; summed up, what all of them know.

    Attributes:
        labels: that this rank trains on: tokens, or pairs.
        tokens: that this rank trains on.
        stop: 1 when this rank was asked to stop.
        save_done: see `SaveVotes`.
        save_failed: see `SaveVotes`.
        save_due: see `SaveVotes`.
    """

    labels: int
    tokens: int
    stop: int
    save_done: int
    save_failed: int
    save_due: int
