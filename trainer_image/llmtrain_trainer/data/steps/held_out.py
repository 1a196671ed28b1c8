"""Chooses the held-out rows that evaluation uses."""

from __future__ import annotations

import numpy as np

from llmtrain_api import Task
from llmtrain_api.families import FAMILIES, bart, t5

from ...token_marks import NOT_TRAINED, ids_of
from ..labelled.questions import choose_questions
from ..preparation import Preparation
from ..rows import Ids, held_out_counts, spread
from ..store import HELD_OUT
from .rows import HELD_OUT_ROWS


def choose_held_out(made: Preparation) -> None:
    """Leave the rows of each source that are used, spread over it, and the entropy of their tokens."""
    spec, side = made.job.spec, made.held_out
    found = [source.rows for source in side.sources]
    # weights say how a mixture is trained on; what is measured is all that is there
    parts = [max(1, rows) for rows in found] if spec.evaluation.only else spec.dataset.parts
    # answers to a prompt are a group of sequences
    most = spec.evaluation.max_sequences // (spec.sequences_a_sample if made.rewarded else 1)
    made.used = held_out_counts(found, parts, max(most, len(found)))
    places = spread(found, made.used).tolist()
    if made.task is Task.QUESTIONS:
        places, made.used = choose_questions(made.folder, made.used)
    chosen = np.ascontiguousarray(side.take(places))
    np.save(made.folder / HELD_OUT, chosen)
    (made.folder / HELD_OUT_ROWS).unlink(missing_ok=True)
    made.entropy = label_entropy(made.task, chosen) if made.task.on_samples else unigram_entropy(chosen)
    if made.task is Task.SEQ2SEQ:
        made.entropy *= share_of_text(chosen.shape[1], infills=FAMILIES[made.job.shape.architecture].infills)


def share_of_text(length: int, *, infills: bool = False) -> float:
    """Of what is written where spans of a row are hidden, how much must be known: what stands for the spans
    follows by itself, each in its turn, and what is not hidden is copied; neither costs whoever counts tokens
    anything."""
    if infills:
        return bart.hidden_and_spans(length)[0] / length
    hidden, spans = t5.hidden_and_spans(length)
    return hidden / (hidden + spans + 1)


def label_entropy(task: Task, rows: Ids) -> float:
    """What whoever reads no text would reach as the loss: the entropy of the classes or of the tokens to be
    written under their own frequencies, in nat; of numbers their variance."""
    if task is Task.REGRESSION:
        return float(np.var(np.ascontiguousarray(rows[:, -1]).view(np.float32), dtype=np.float64))
    if task is Task.QUESTIONS:
        return sum(entropy_of(rows[:, column]) for column in (-2, -1)) / 2
    if task is Task.CLASSIFICATION:
        return entropy_of(rows[:, -1])
    # tags and tokens to be written alike
    written = rows[:, rows.shape[1] // 2 :]
    return entropy_of(ids_of(written[(written & NOT_TRAINED) == 0]))


def entropy_of(values: Ids) -> float:
    """Entropy of whole numbers under their own frequencies, in nat."""
    counts = np.bincount(values.astype(np.int64))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def unigram_entropy(sequences: Ids) -> float:
    """Entropy of the predicted tokens (all but each row's first) under their own frequencies, in nat: what
    a model that only counts tokens, and had seen these very tokens, would reach."""
    predicted = sequences[:, 1:].ravel().astype(np.int64)
    return entropy_of(ids_of(predicted[(predicted & NOT_TRAINED) == 0]))
