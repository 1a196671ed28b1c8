"""Rows of samples without most of what fills them up: a batch is as long as its longest sample."""

from __future__ import annotations

import torch

from ..token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED, ids_of

MULTIPLE = 8
"""Lengths are multiples of it, as matrix units like them."""


def padded(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of some rows, cut to the longest of them.

    Args:
        rows: [rows, length] tokens with their marks; what fills a row up is at its end.

    Returns:
        [rows, longest] ids, and 1 where a token is a sample's own.
    """
    own = (rows & NOT_TRAINED) == 0
    longest = int(own.sum(dim=1).max())
    length = min(rows.shape[1], max(1, -(-longest // MULTIPLE)) * MULTIPLE)
    return ids_of(rows[:, :length]), own[:, :length].long()


def padded_inputs(rows: torch.Tensor, *, segments: bool) -> dict[str, torch.Tensor]:
    """A model's inputs of some rows of one text or two.

    Args:
        rows: [rows, length] tokens with their marks.
        segments: whether the model is told which of two texts a token is of.
    """
    ids, mask = padded(rows)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if segments:
        begun = ((rows & FIRST_OF_DOCUMENT) != 0).long().cumsum(dim=1)[:, : ids.shape[1]]
        inputs["token_type_ids"] = begun * mask
    return inputs
