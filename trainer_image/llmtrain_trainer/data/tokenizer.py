"""A byte-level BPE tokenizer trained on the training split, saved as Hugging Face reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

EOS = "<|endoftext|>"
TRAINING_BYTES = 256 << 20
"""The trainer holds its counts in memory, so it sees at most so much text."""


def _first(texts: Iterable[str]) -> Iterator[str]:
    left = TRAINING_BYTES
    for text in texts:
        left -= len(text)
        if left < 0:
            return
        yield text


def train_bpe(texts: Iterable[str], vocab_size: int, special: list[str]) -> Any:
    """Train a tokenizer. Not deterministic between runs, so it is done once a job.

    Args:
        texts: what it is trained on.
        vocab_size: its entries at most.
        special: tokens that get the ids after the end-of-document token's.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[EOS, *special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_first(texts), trainer)
    return tokenizer


def numbered(vocab_size: int, special: list[str]) -> Any:
    """A tokenizer for noise: one word an id."""
    named = [EOS, *special]
    vocabulary = {
        name: i for i, name in enumerate([*named, *(f"t{i}" for i in range(len(named), vocab_size))])
    }
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=EOS))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer
