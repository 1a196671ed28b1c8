"""A byte-level tokenizer trained on the training split, saved as Hugging Face reads it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from llmtrain_api import TokenizerKind

from ..special_tokens import EOS
from .rows import Ids
from .unigram import learnt_pieces

Tag = TypeVar("Tag")

TRAINING_BYTES = 64 << 20
"""The trainer holds each distinct word, at about 20 bytes a character, so it sees at most so much text."""
UNIGRAM_BYTES = 16 << 20
"""The trainer of Unigram holds each word as often as it is there, and takes longer for each distinct one."""

GOES_ON = "\u2026"
"""Begins the pieces that go on with a word. No byte is written so; a text may begin a word with BERT's ##."""
WORD = 64
"""Bytes of a word at most where it is cut into pieces."""
_SPACE = " \n\t"
PIECE = 1 << 14
"""Characters that are encoded at once."""
Cut = Literal["pieces", "lines", "lines-before", "whole"]
"""How texts are cut for a tokenizer, by the name that a data folder has for it."""
LINE_ENDS: dict[Cut, re.Pattern[str]] = {
    "lines": re.compile(r"\n(?=[^\W\d])"),
    "lines-before": re.compile(r"(?=\n[^\W\d])"),
}
"""Where a line that begins with a letter may be parted off: after all line ends, or before the last one."""
LINES = 1 << 16
"""Characters that a tokenizer that is not ours encodes at once."""
BATCH = 1 << 20
"""Characters of the texts whose tokens are held at once."""
GROUP = 16
"""Pieces that the tokenizer gets at once, as it says far more of each token than its id."""


def training_bytes(kind: TokenizerKind) -> int:
    """Characters of text that a tokenizer is trained on, at most."""
    return min(TRAINING_BYTES, UNIGRAM_BYTES) if kind is TokenizerKind.UNIGRAM else TRAINING_BYTES


def _first(texts: Iterable[str], kind: TokenizerKind) -> Iterator[str]:
    """As many of the texts as a kind is trained on, in parts."""
    left = training_bytes(kind)
    for text in texts:
        left -= len(text)
        if left < 0:
            return
        yield from pieces(text)


def train_bpe(texts: Iterable[str], vocab_size: int, special: list[str]) -> Any:
    """Train a tokenizer. A special token that a document spells is text to it: only we put such tokens in.

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
    tokenizer.train_from_iterator(_first(texts, TokenizerKind.BPE), trainer)
    tokenizer.encode_special_tokens = True
    return tokenizer


def train_word_pieces(texts: Iterable[str], vocab_size: int, special: list[str]) -> Any:
    """Train a WordPiece tokenizer, as `train_bpe` has it.

    Each byte is an entry where a word begins and where it goes on, so that no text is unknown. They are given
    to the trainer as special tokens, which numbers them in their order; it would number those that it finds
    by chance, and that decides which of two equally frequent pieces comes first.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    fixed = [EOS, *special, *letters, *(GOES_ON + letter for letter in letters)]
    learner = tokenizers.Tokenizer(models.WordPiece(unk_token=EOS, continuing_subword_prefix=GOES_ON))
    learner.pre_tokenizer = _short_words()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=fixed,
        continuing_subword_prefix=GOES_ON,
        show_progress=False,
    )
    learner.train_from_iterator(_first(texts, TokenizerKind.WORD_PIECE), trainer)
    model = models.WordPiece(
        learner.get_vocab(),
        unk_token=EOS,
        max_input_chars_per_word=WORD,
        continuing_subword_prefix=GOES_ON,
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = _short_words()
    tokenizer.decoder = decoders.Sequence([decoders.Replace(GOES_ON, ""), decoders.ByteLevel()])
    tokenizer.add_special_tokens([EOS, *special])
    tokenizer.encode_special_tokens = True
    return tokenizer


def train_unigram(texts: Iterable[str], vocab_size: int, special: list[str]) -> Any:
    """Train a Unigram tokenizer, as `train_bpe` has it.

    Its pieces are of bytes as those of the others, and each byte is one, so that no text is unknown. A byte
    that no text has is in no other piece, so that any score makes it what it stands for.
    """
    fixed, letters = [EOS, *special], sorted(pre_tokenizers.ByteLevel.alphabet())
    words = _short_words()
    counts: Counter[str] = Counter()
    for part in _first(texts, TokenizerKind.UNIGRAM):
        counts.update(word for word, _ in words.pre_tokenize_str(part))
    unseen = sorted({*letters} - {letter for word in counts for letter in word})
    learnt = learnt_pieces(counts, vocab_size - len(fixed) - len(unseen))
    least = min((score for _, score in learnt), default=0.0)
    # no word of a text is spelled as a special token: letters and signs are words apart
    model = models.Unigram(
        [*((name, 0.0) for name in fixed), *learnt, *((letter, least) for letter in unseen)],
        unk_id=None,
        byte_fallback=False,
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(fixed)
    tokenizer.encode_special_tokens = True
    return tokenizer


def _short_words() -> Any:
    """Words as BPE has them, cut where they are long: the others take time by the square of their length."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    cut = pre_tokenizers.Split(tokenizers.Regex(rf"[\s\S]{{1,{WORD}}}"), "isolated")
    return pre_tokenizers.Sequence([words, cut])


TRAINERS: dict[TokenizerKind, Callable[[Iterable[str], int, list[str]], Any]] = {
    TokenizerKind.BPE: train_bpe,
    TokenizerKind.WORD_PIECE: train_word_pieces,
    TokenizerKind.UNIGRAM: train_unigram,
}
"""What trains a tokenizer, by ``model.tokenizerKind``."""


def pieces(text: str, length: int = PIECE) -> Iterator[str]:
    """A text in parts that are encoded one by one, to the same tokens as the whole.

    No token of ours goes from a visible character into the white space after it, so parts end there. A word
    that is longer than a part is cut in its middle: it is no word, and would be held in memory many times.
    """
    start = 0
    while len(text) - start > length:
        end = next(
            (
                at
                for at in range(start + length, start, -1)
                if text[at] in _SPACE and not text[at - 1].isspace()
            ),
            start + length,
        )
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def lines(text: str, at: re.Pattern[str], length: int = LINES) -> Iterator[str]:
    """A text in parts that are cut at lines which begin with a letter.

    This is how a tokenizer that is not ours is given a long text. White space before a word may be one token
    with what is before it, so a part is longer than ``length`` where there is no such line, 16 times at most.

    Args:
        text: whole.
        at: ends where a part may end: of `LINE_ENDS` what `cut_at_lines` has found to keep the tokens.
        length: of a part.
    """
    start = 0
    while len(text) - start > length:
        ends = (found.end() for found in at.finditer(text, start + length // 2, start + 16 * length))
        end = next(ends, min(len(text), start + 16 * length))
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def whole(text: str) -> Iterator[str]:
    """A text in one part."""
    yield text


CUTS: dict[Cut, Callable[[str], Iterator[str]]] = {
    "pieces": pieces,
    "lines": partial(lines, at=LINE_ENDS["lines"]),
    "lines-before": partial(lines, at=LINE_ENDS["lines-before"]),
    "whole": whole,
}
"""How a text is cut for a tokenizer, by a name that goes from process to process."""


def encoded(
    texts: Iterable[tuple[Tag, str]],
    tokenizer: Any,
    cut: Callable[[str], Iterable[str]] = pieces,
) -> Iterator[tuple[Tag, Ids]]:
    """The token ids of documents, in bounded batches.

    Args:
        texts: documents or parts of them, each with something that is passed through.
        tokenizer: encodes a part.
        cut: makes the parts of a text, whose tokens are those of the whole.
    """
    for batch in _batches(texts):
        parts = [(number, piece) for number, (_, text) in enumerate(batch) for piece in cut(text)]
        ids: list[list[Ids]] = [[] for _ in batch]
        for first in range(0, len(parts), GROUP):
            group = parts[first : first + GROUP]
            encodings = tokenizer.encode_batch_fast([piece for _, piece in group], add_special_tokens=False)
            for (number, _), encoding in zip(group, encodings, strict=True):
                ids[number].append(np.asarray(encoding.ids, np.uint32))
        for (tag, _), found in zip(batch, ids, strict=True):
            yield tag, np.concatenate(found) if found else np.zeros(0, np.uint32)


def _batches(texts: Iterable[tuple[Tag, str]]) -> Iterator[list[tuple[Tag, str]]]:
    batch: list[tuple[Tag, str]] = []
    size = 0
    for tag, text in texts:
        batch.append((tag, text))
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def numbered(vocab_size: int, special: list[str]) -> Any:
    """A tokenizer for noise: one word an id."""
    named = [EOS, *special]
    vocabulary = {
        name: i for i, name in enumerate([*named, *(f"t{i}" for i in range(len(named), vocab_size))])
    }
    tokenizer = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token=EOS))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer
