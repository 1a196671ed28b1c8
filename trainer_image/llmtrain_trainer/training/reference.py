"""Computes the reference of preference training: once, by the engine that trains, before its first step.

What it says of a pair depends neither on the number of ranks nor on which of them computes it: each pair is a
pass of its own. Of an answer that is desirable or not, the answer and its mismatched sequence are one each.
With adapters the first model is the base: their second matrix begins at zero.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from llmtrain_api import JobFile

from .. import distributed, log
from ..data.loader import encoded
from ..data.order import Order
from ..data.reference import LogProbabilities, Referenced, joined, read_reference, write_reference
from ..data.rows import Ids, Rows
from ..distributed import Ranks
from ..files import digest_of
from ..parallel.engine import Engine
from ..storage.start_marker import Start
from ..tasks.kto import JudgedLM
from ..tasks.preference import PairsLM, log_probabilities
from ..telemetry.phases import Phase

DEPENDS_ON = ("data", "tokenizer", "model", "sequenceLength", "seed", "precision", "base", "adapter")
"""Fingerprints of a checkpoint that the reference depends on too."""


class Reference:
    """The reference of one attempt.

    Args:
        job: whose.
        start: of the attempt.
        ranks: of the gang.
        train: the training rows.
        held_out: the held-out rows.
        order: of the training rows.
        samples: that the job trains on: where they are fewer than the rows, no others are computed.

    Attributes:
        train: the training rows with their reference, once it is there.
        there: whether it was computed by an earlier attempt, and every rank has it.
    """

    def __init__(
        self, job: JobFile, start: Start, ranks: Ranks, train: Rows, held_out: Ids, order: Order, samples: int
    ) -> None:
        self._folder: Path = start.output.data
        self._fence, self._ranks = start.fence, ranks
        self._rows, self._held_out = train, held_out
        self.train = Referenced(train)
        weights = job.model.weights if job.model else None
        known = {name: start.fingerprints.get(name) for name in DEPENDS_ON}
        self._order, self._samples = order, min(samples, len(train))
        self._key = digest_of([known, weights, self._samples])
        self._pairs = len(train) + len(held_out)
        self._found = read_reference(self._folder, self._pairs, self._key)
        own = int(self._found is not None)
        self.there = distributed.all_reduce_sum(ranks, own) == [ranks.world]

    def ready(self, engine: Engine, task: PairsLM | JudgedLM) -> None:
        """Have it; where it is not there, an engine computes it that has the weights that training starts
        from.

        Args:
            engine: of this rank.
            task: of the job.
        """
        if not self.there:
            wanted = self._used()
            self._found = self._computed(engine, task, wanted)
            self._fence.check()
            digest = ""
            if self._ranks.local_rank == 0:
                digest = write_reference(self._folder, self._key, self._found)
            if self._ranks.world > 1:
                distributed.barrier()
            log.get().info("reference computed", pairs=len(wanted), sha256=digest)
        assert self._found is not None
        self.train.reference = self._found[: len(self._rows)]

    def with_held_out(self) -> Ids:
        """The held-out rows with their reference."""
        assert self._found is not None
        return joined(self._held_out, self._found[len(self._rows) :])

    def _used(self) -> list[int]:
        """Rows that the job reads, of both sides of the split."""
        held_out = range(len(self._rows), self._pairs)
        if self._samples == len(self._rows):
            return list(range(self._pairs))
        return [*sorted({self._order.at(place)[0] for place in range(self._samples)}), *held_out]

    def _computed(self, engine: Engine, task: PairsLM | JudgedLM, wanted: list[int]) -> LogProbabilities:
        """[pairs, 2], NaN where nothing is wanted; the same on every rank."""
        place, ranks = engine.place.data, engine.layout.data
        own = np.zeros((len(wanted), 2))
        for first in range(0, len(wanted), ranks):
            at = first + place
            # every rank computes as often, as layouts that communicate in the forward pass need
            row = self._row(wanted[min(at, len(wanted) - 1)])
            one = encoded(joined(row[None], np.zeros((1, 2))), [0], [0], [False], task, self._ranks.device)
            with engine.watch(Phase.EVALUATION):
                found = torch.cat(engine.evaluated(task.sequences(one), log_probabilities), dim=-1)
            if at < len(wanted):
                own[at] = found[0].double().cpu().numpy()
        shared = torch.from_numpy(own).to(self._ranks.device)
        distributed.all_reduce_tensor(self._ranks, shared)
        every = np.full((self._pairs, 2), np.nan)
        every[wanted] = shared.cpu().numpy()
        return every

    def _row(self, number: int) -> Ids:
        first = number - len(self._rows)
        return self._rows[number] if first < 0 else self._held_out[first]
