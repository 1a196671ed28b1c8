"""What a model says of held-out samples, compared with what is right, and with what one says without a model.

- Accuracy, and F1 of each class that occurs or is said, mean over them (macro), as scikit-learn has it.
- Mean squared error, and Pearson's correlation.
- Without a model: the most frequent class, or the mean, of the training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.loader import Pass
from ..loss import IGNORED
from ..tasks.objective import numbers_of

Numbers = npt.NDArray[Any]


@torch.no_grad()
def said(model: Any, passes: Sequence[Pass]) -> tuple[Numbers, torch.Tensor]:
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
