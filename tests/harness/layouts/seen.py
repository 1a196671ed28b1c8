"""Rows of dialogues with images, and the loss of one dialogue alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from harness.layouts.rows import LENGTH, SAMPLES, VOCAB

from llmtrain_api import ModelShape
from llmtrain_api.families.llava import seeing
from llmtrain_trainer.pictures import Described, Images
from llmtrain_trainer.special_tokens import image_token_of_ours
from llmtrain_trainer.tasks.image_chat import ImageChatLM
from llmtrain_trainer.token_marks import FIRST_OF_DOCUMENT, ID, NOT_TRAINED

PATCHES = 16
"""Tokens of an image; a row has room for one."""


def images(shape: ModelShape) -> Images:
    """As many images as rows, of noise."""
    size = seeing(shape).image
    pixels = np.random.default_rng(9).integers(0, 256, (SAMPLES, 3, size, size)).astype(np.uint8)
    mean, deviation = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    return Images(pixels, Described(size, PATCHES, image_token_of_ours(), 1 / 255, mean, deviation))


def encoder_of(shape: ModelShape) -> ImageChatLM:
    """The product's, over these images."""
    return ImageChatLM(images(shape))


def rows() -> np.ndarray[Any, Any]:
    """Rows of one image each, in other places, of unequal lengths and unequal numbers of labels."""
    generator = np.random.default_rng(10)
    found = np.full((SAMPLES, LENGTH + 1), NOT_TRAINED, np.uint32)
    for number, row in enumerate(found):
        first = int(generator.integers(1, 5))
        end = int(generator.integers(first + PATCHES + 3, LENGTH + 1))
        asked = int(generator.integers(first + PATCHES, end - 1))
        row[:end] = generator.integers(40, VOCAB, end)
        row[first : first + PATCHES] = image_token_of_ours()
        row[:asked] |= NOT_TRAINED
        row[0] |= FIRST_OF_DOCUMENT
        if end < LENGTH:
            row[end] |= FIRST_OF_DOCUMENT
        row[-1] = number | NOT_TRAINED
    return found


def alone(
    model: Any, batch: torch.Tensor, shape: ModelShape, device: str
) -> Iterator[tuple[torch.Tensor, int]]:
    """The summed loss of each dialogue by itself, without padding, and its number of labels."""
    known = images(shape)
    how = known.described
    for row in batch:
        begins = torch.nonzero(row[:-1] & FIRST_OF_DOCUMENT).flatten().tolist()
        own = row[: begins[1] if len(begins) > 1 else LENGTH]
        mean, deviation = (torch.tensor(one)[:, None, None] for one in (how.mean, how.deviation))
        pixels = torch.from_numpy(known.pixels[int(row[-1]) & ID]).double() / 255
        image = ((pixels - mean) / deviation)[None].to(device)
        logits = model(input_ids=(own & ID)[None].to(device), pixel_values=image).logits[0, :-1]
        asked = ((own & NOT_TRAINED) == 0)[1:].to(device)
        wanted = (own & ID)[1:].to(device)
        wide = torch.promote_types(logits.dtype, torch.float32)
        yield F.cross_entropy(logits[asked].to(wide), wanted[asked], reduction="sum"), int(asked.sum())
