"""Samples to rows, encoded as whoever uses the tokenizer encodes them: so a model meets what it knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tokenizers
from tokenizers import processors

from llmtrain_api import JobSpec, ModelShape, Task, task_of

from ...errors import ConfigError
from ...special_tokens import CLS, SEP, Tokens
from ...token_marks import NOT_TRAINED
from ..reading.counts import ReadCounts
from ..rows import Ids
from .sample import Sample
from .windows import Window, windows_of
from .writer import filled

SHORTENED, TOO_LONG = "samplesShortened", "targetsTooLong"
"""What `ReadCounts.dialogues` counts of samples: texts whose end is cut off, and pairs that are left out, as
half of what is to be written would teach a model to stop early."""
Row = tuple[Ids, int, int]
"""Columns of a row, its tokens and the largest id among them."""


def processor(tokenizer: Any) -> Any:
    """What a tokenizer that is trained here puts around texts and between two of them."""
    special = [(name, int(tokenizer.token_to_id(name))) for name in (CLS, SEP)]
    return processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=special
    )


class Encoding:
    """Makes rows of samples.

    Args:
        spec: the job.
        shape: its model's.
        tokenizer: its tokenizer; is copied.
        tokens: the tokenizer's special ones.
        counts: is told of what is cut or left out.
    """

    def __init__(
        self, spec: JobSpec, shape: ModelShape, tokenizer: Any, tokens: Tokens, counts: ReadCounts
    ) -> None:
        self.length, self.tokens, self.counts = spec.training.sequence_length, tokens, counts
        self.task = task_of(spec, shape)
        self._cut, self._whole = _copy(tokenizer), _copy(tokenizer)
        self._cut.enable_truncation(self.length, strategy="longest_first")
        self._before = set(self._whole.encode("").ids)
        self._pad = tokens.eos if tokens.pad is None else tokens.pad

    def windows(self, sample: Sample) -> list[Window]:
        """The windows of a question's text.

        Raises:
            ConfigError: the tokenizer puts nothing before a text, which could stand for no answer.
        """
        question, context = sample.texts
        found, cut = windows_of(self._cut, question, context, self.length)
        if found[0].ids[0] not in self._before:
            raise ConfigError(
                "the model's tokenizer puts no token before a question, which would stand for no answer",
                "name another model",
            )
        self.counts.dialogues[SHORTENED] += cut
        return found

    def spans(self, sample: Sample, windows: list[Window]) -> list[Row]:
        """A row of each window, with the places of the answer."""
        rows = []
        for one in windows:
            second = one.first if one.offsets else None
            marked = filled(one.ids, self.length, self._pad, second)
            places = np.asarray(one.span(sample.answers or ()), np.uint32)
            rows.append((np.concatenate([marked, places]), len(one.ids), max(one.ids)))
        return rows

    def row(self, sample: Sample, number: Callable[[], list[int]]) -> Row | None:
        """The row of a sample; None where it is left out.

        Args:
            sample: one.
            number: gives what is to be learnt: the number of its class, or of each word's, or the bits of its
                number.
        """
        if self.task is Task.TEXT2TEXT:
            return self._pair(sample)
        if self.task is Task.TOKENS:
            return self._tagged(sample, number)
        encoding = self._encode(sample.texts)
        second = next((at for at, kind in enumerate(encoding.sequence_ids) if kind == 1), None)
        marked = filled(encoding.ids, self.length, self._pad, second if self.tokens.segments else None)
        label = np.asarray(number(), np.uint32)
        return np.concatenate([marked, label]), len(encoding.ids), max(encoding.ids)

    def _pair(self, sample: Sample) -> Row | None:
        source, target = sample.texts
        # a decoder writes what a tokenizer makes of a text, up to and with the token that ends it
        written = self._whole.encode(target).ids
        if not written or written[-1] != self.tokens.eos:
            written = [*written, self.tokens.eos]
        if len(written) > self.length:
            self.counts.dialogues[TOO_LONG] += 1
            return None
        read = self._encode((source,)).ids
        columns = [filled(ids, self.length, self._pad) for ids in (read, written)]
        return np.concatenate(columns), len(read) + len(written), max(*read, *written)

    def _tagged(self, sample: Sample, number: Callable[[], list[int]]) -> Row:
        encoding = self._cut.encode(list(sample.texts), is_pretokenized=True)
        self.counts.dialogues[SHORTENED] += bool(encoding.overflowing)
        of_word, labels = number(), np.full(self.length, NOT_TRAINED, np.uint32)
        before = None
        for at, word in enumerate(encoding.word_ids):
            if word is not None and word != before:  # a word's first token tells its tag
                labels[at] = of_word[word]
            before = word
        marked = filled(encoding.ids, self.length, self._pad)
        return np.concatenate([marked, labels]), len(encoding.ids), max(encoding.ids)

    def _encode(self, texts: tuple[str, ...]) -> Any:
        encoding = self._cut.encode(*texts)
        self.counts.dialogues[SHORTENED] += bool(encoding.overflowing)
        return encoding


def bits_of(number: float) -> int:
    """A number of fp32 as the whole number that has its bits."""
    return int(np.float32(number).view(np.uint32))


def _copy(tokenizer: Any) -> Any:
    copy = tokenizers.Tokenizer.from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = True
    return copy
