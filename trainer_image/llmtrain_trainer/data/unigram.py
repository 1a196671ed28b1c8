"""The pieces of a Unigram tokenizer and their log-probabilities, learnt from words (https://arxiv.org/abs/1804.10959).

By sentencepiece, as the trainer of tokenizers adds up in an order that differs from run to run.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from typing import Any

import sentencepiece

LONGEST = 32
"""Characters of a piece at most."""
_SPACE = "\u2581"
"""How sentencepiece writes a space."""
_ERRORS = 2
_AS_THEY_ARE: dict[str, Any] = {
    "character_coverage": 1.0,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "split_by_unicode_script": False,
    "split_by_number": False,
    "bos_id": -1,
    "eos_id": -1,
}
"""Words are cut and spelled already, and no character of theirs is left out."""


def learnt_pieces(words: Mapping[str, int], size: int) -> list[tuple[str, float]]:
    """Pieces with their log-probabilities, likeliest first; each character of the words is one.

    Sums of numbers depend on their order, so one thread adds them up: the same words in the same order make
    the same bytes. It takes 20 bytes of memory for each character of the text, however often words repeat.

    Args:
        words: how often each occurs; no space is in them.
        size: of the pieces, at most.
    """
    if not words:
        return []
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=_rows(words),
        input_format="tsv",
        model_writer=model,
        model_type="unigram",
        vocab_size=size + 2,  # beside what stands for the unknown and the space
        hard_vocab_limit=False,
        max_sentencepiece_length=LONGEST,
        num_threads=1,
        minloglevel=_ERRORS,
        **_AS_THEY_ARE,
    )
    read = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    numbers = (number for number in range(read.get_piece_size()) if not read.is_unknown(number))
    scores = {read.id_to_piece(number): read.get_score(number) for number in numbers}
    words_alone = math.log1p(-math.exp(scores.pop(_SPACE, -math.inf)))
    return [(piece, score - words_alone) for piece, score in scores.items()]


def _rows(words: Mapping[str, int]) -> Iterator[str]:
    """Half of each word's occurrences end a sentence, the others have a space behind them.

    What is always followed by the same is no candidate for a piece without what follows: words that are in no
    longer one would not be found at all. A space is a word of its own, and nothing is learnt with it.
    """
    for word, count in words.items():
        if spaced := count // 2:
            yield f"{word} \t{spaced}"
        yield f"{word}\t{count - spaced}"
