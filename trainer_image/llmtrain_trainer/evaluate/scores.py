"""What a model says of held-out samples, compared with what is right, and with what one says without a model.

- Accuracy, and F1 of each class that occurs or is said, mean over them (macro), as scikit-learn has it.
- F1 of entities (Tjong Kim Sang and De Meulder 2003): those with the right kind, begin and end are right.
- Mean squared error, and Pearson's correlation.
- Without a model: the most frequent class, or the mean, of the training data; of two answers the longer one;
  of answers that are desirable or not what most are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.loader import Pass
from ..loss import IGNORED
from ..tasks.objective import numbers_of
from ..token_marks import NOT_TRAINED, ids_of

Numbers = npt.NDArray[Any]
BEGIN, INSIDE = "B-", "I-"
"""What tags of entities begin with."""


@torch.no_grad()
def said(model: Any, passes: Iterable[Pass]) -> tuple[Numbers, torch.Tensor]:
    """The outputs of a head for each sample, and its label as the data have it.

    Args:
        model: of an exported folder.
        passes: over the samples.
    """
    model.eval()
    outputs, labels = [], []
    for inputs, wanted in passes:
        own = (wanted != IGNORED)[:, 0]
        outputs.append(model(**inputs).logits[own].double().cpu())
        labels.append(wanted[own].cpu())
    return torch.cat(outputs).numpy(), torch.cat(labels)


@torch.no_grad()
def tagged(model: Any, passes: Iterable[Pass]) -> list[tuple[list[int], list[int]]]:
    """The numbers of the tags that a model gives to the words of each sample, and of the right ones."""
    model.eval()
    pairs = []
    for inputs, wanted in passes:
        found = model(**inputs).logits.argmax(-1)
        for said_of_it, right in zip(found.cpu(), wanted.cpu(), strict=True):
            own = right != IGNORED
            if own.any():
                pairs.append((said_of_it[own].tolist(), right[own].tolist()))
    return pairs


def of_tags(
    pairs: Sequence[tuple[list[int], list[int]]], labels: Sequence[str], train: Sequence[int]
) -> dict[str, float]:
    """How tags compare, from 0 to 1.

    Args:
        pairs: see `tagged`.
        labels: the tags in their order.
        train: how often each tag is in the training data.
    """
    found, wanted = (np.concatenate([np.asarray(pair[side]) for pair in pairs]) for side in (0, 1))
    scores = {
        "accuracy": float((found == wanted).mean()),
        "majorityAccuracy": float((wanted == int(np.argmax(train))).mean()),
        "macroF1": macro_f1(found, wanted),
    }
    if any(name.startswith(BEGIN) for name in labels):
        named = [tuple(entities([labels[tag] for tag in side]) for side in pair) for pair in pairs]
        right = sum(len(said_of_it & known) for said_of_it, known in named)
        all_of_both = sum(len(said_of_it) + len(known) for said_of_it, known in named)
        scores["entityF1"] = 2 * right / all_of_both if all_of_both else 1.0
    return scores


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Kind, first and last place of each entity, as CoNLL-2003 counts them: one begins with ``B-``, or with
    an ``I-`` that goes on with no entity of its kind."""
    found, begun, kind = set(), 0, ""
    for at, tag in enumerate([*tags, "O"]):
        now = tag[2:] if tag.startswith((BEGIN, INSIDE)) else ""
        if kind and (now != kind or tag.startswith(BEGIN)):
            found.add((kind, begun, at - 1))
            kind = ""
        if now and not kind:
            begun, kind = at, now
    return found


def of_classes(outputs: Numbers, labels: torch.Tensor, train: Sequence[int]) -> dict[str, float]:
    """How classes compare, from 0 to 1.

    Args:
        outputs: [samples, classes] logits.
        labels: [samples, 1] numbers of classes.
        train: how often each class is in the training data.
    """
    wanted, found = labels.flatten().numpy(), outputs.argmax(axis=1)
    return {
        "accuracy": float((found == wanted).mean()),
        "majorityAccuracy": float((wanted == int(np.argmax(train))).mean()),
        "macroF1": macro_f1(found, wanted),
    }


def macro_f1(found: Numbers, wanted: Numbers) -> float:
    """F1 of each class that occurs in either, and the mean over these."""
    scores = []
    for one in np.union1d(found, wanted):
        right = int(((found == one) & (wanted == one)).sum())
        scores.append(2 * right / int((found == one).sum() + (wanted == one).sum()))
    return float(np.mean(scores))


def of_lengths(rows: Numbers) -> float:
    """Share of pairs whose better answer has more tokens; of equally many, one half.

    Args:
        rows: [pairs, 2 x length] tokens with their marks, the better answer's first.
    """
    trained = (np.asarray(rows).reshape(len(rows), 2, -1) & NOT_TRAINED) == 0
    better, other = trained.sum(axis=-1).T
    return float(((better > other) + (better == other) / 2).mean())


def of_majority(rows: Numbers, train: Mapping[str, Mapping[str, int]]) -> float:
    """Share of held-out answers that are desirable, or of those that are not, as most of the training data's
    are.

    Args:
        rows: whose last column is 1 where the answer is desirable, with its mark.
        train: how many answers of the training data are ``desirable``, and ``undesirable``.
    """
    desirable = float(ids_of(np.asarray(rows)[:, -1]).mean())
    often = train["desirable"]["train"] >= train["undesirable"]["train"]
    return desirable if often else 1 - desirable


def of_numbers(outputs: Numbers, labels: torch.Tensor, mean: float) -> dict[str, float]:
    """How numbers compare.

    Args:
        outputs: [samples, 1] what is told.
        labels: [samples, 1] bits of what is right.
        mean: of the training data.
    """
    wanted, found = numbers_of(labels).double().numpy().flatten(), outputs.flatten()
    scores = {"mse": float(((found - wanted) ** 2).mean()), "meanMse": float(((mean - wanted) ** 2).mean())}
    if len(wanted) > 1 and found.std() > 0 and wanted.std() > 0:
        scores["pearson"] = float(np.corrcoef(found, wanted)[0, 1])
    return scores
