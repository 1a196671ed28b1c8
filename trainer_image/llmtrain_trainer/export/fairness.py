"""How a job's exported model compares the pairs of sentences that the job names. No job fails for it."""

from __future__ import annotations

from llmtrain_api import JobFile, Task, task_of
from llmtrain_api.schema.status.results import FairnessResult

from .. import log
from ..data.sentence_pairs import pairs_of
from ..data.store import Marker
from ..errors import ConfigError
from ..evaluate.fairness import Likelihood, by_category
from ..evaluate.heldout import budget
from ..evaluate.placement import device_of
from .opened import Opened

TOKENS = 128
"""Of a text that are looked at."""


def compared_pairs(job: JobFile, exported: Opened, marker: Marker) -> FairnessResult | None:
    """Compare the pairs that a job names; None where it names none, or where it cannot be done.

    Args:
        job: the job.
        exported: its model.
        marker: of its data.
    """
    if job.spec.evaluation.fairness is None:
        return None
    try:
        found = _compared(job, exported, marker)
    except Exception as error:
        log.get().warning("pairs are not compared", error=f"{type(error).__name__}: {error}")
        return None
    log.get().info("pairs compared", pairs=found.pairs, of=found.of)
    return found


def _compared(job: JobFile, exported: Opened, marker: Marker) -> FairnessResult:
    asked, all_pairs = job.spec.evaluation.fairness, pairs_of(job)
    if asked is None or not exported.sane:
        raise ConfigError("the held-out loss of the model is no number")
    masked = task_of(job.spec, job.shape) is Task.MASKED
    room = min(TOKENS, job.shape.positions or TOKENS)
    scored = Likelihood(exported.model, exported.tokenizer, marker.special, masked=masked, room=room)
    left = budget(gpu=device_of().type != "cpu")
    most = affordable(scored, [(pair.a, pair.b) for pair in all_pairs], job.shape.parameters, left)
    if not most:
        raise ConfigError("the model is so large that nodes would wait long for it")
    pairs = [all_pairs[at * len(all_pairs) // most] for at in range(most)]
    gaps = [scored.of(pair.a) - scored.of(pair.b) for pair in pairs]
    return FairnessResult(
        source=asked.pairs,
        score="pseudoLogLikelihood" if masked else "logLikelihood",
        pairs=len(pairs),
        of=len(all_pairs),
        categories=by_category(pairs, gaps),
    )


def affordable(scored: Likelihood, texts: list[tuple[str, str]], parameters: int, budget: float) -> int:
    """How many pairs may be compared while the gang's nodes wait: two operations of each parameter a token,
    and of a model that fills masks so many for each token of a text."""
    cost = 0.0
    for pair in texts:
        sizes = [len(scored.ids(text)) for text in pair]
        cost += 2.0 * parameters * sum(size * size if scored.masked else size for size in sizes)
    return len(texts) if cost <= budget else int(len(texts) * budget / cost)
