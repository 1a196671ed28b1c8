"""Writes the pairs of sentences that a model is trained to find equally likely, as rows of two sequences."""

from __future__ import annotations

import numpy as np
import transformers

from ...errors import ConfigError
from ...token_marks import FIRST_OF_DOCUMENT, NOT_TRAINED
from ..preparation import Preparation
from ..rows import Ids
from ..sentence_pairs import SentencePair, ids_of_text, penalty_pairs_of
from ..store import FAIRNESS, TOKENIZER


def write_penalty_pairs(made: Preparation) -> None:
    """Leave the rows, where a job asks for any. It comes before the rows of the data: a mistake in a text is
    told within minutes.

    Raises:
        ConfigError: a text is too long, or both are the same tokens; names the line.
    """
    if not (pairs := penalty_pairs_of(made.job)):
        return
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.folder / TOKENIZER, local_files_only=True)
    longest = made.job.spec.training.sequence_length
    sides: list[list[int]] = []
    for pair in pairs:
        both = [ids_of_text(tokenizer, made.tokens, text) for text in (pair.a, pair.b)]
        _require_usable(pair, both, longest)
        sides += both
    np.save(made.folder / FAIRNESS, rows_of(sides, made.tokens.eos))


def rows_of(sides: list[list[int]], pad: int) -> Ids:
    """[pairs, 2 x longest] tokens with the marks of pairs (see `pairs.writing`): of each text all tokens but
    the first, which it begins after, are asked.

    Args:
        sides: the tokens of the texts, two a pair.
        pad: id that fills up.
    """
    each = max(len(ids) for ids in sides)
    rows = np.full((len(sides), each), pad | NOT_TRAINED, np.uint32)
    for row, ids in zip(rows, sides, strict=True):
        row[: len(ids)] = ids
        row[0] |= FIRST_OF_DOCUMENT | NOT_TRAINED
        row[len(ids) : len(ids) + 1] |= FIRST_OF_DOCUMENT
    return rows.reshape(len(sides) // 2, 2 * each)


def _require_usable(pair: SentencePair, both: list[list[int]], longest: int) -> None:
    for name, ids in zip("ab", both, strict=True):
        if len(ids) > longest:
            raise ConfigError(
                f"{pair.where}: its {name} has {len(ids)} tokens, more than training.sequenceLength "
                f"{longest}",
                "shorten the text, or raise training.sequenceLength",
            )
    if both[0] == both[1]:
        raise ConfigError(
            f"{pair.where}: its a and b are the same tokens, so that no model could tell them apart",
            "let them differ in words that the tokenizer knows",
        )
