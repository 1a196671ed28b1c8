"""Pairs of sentences in a file of a person's own, which a model is asked to compare, or to hold alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile

from ..errors import ConfigError
from ..special_tokens import Tokens

LARGEST, CATEGORIES = 16 << 20, 16
"""Bytes of the file, and categories in it, at most."""
LONGEST = {"a": 2000, "b": 2000, "category": 64}
"""Characters of each text at most."""
FIX = 'write {"a": "...", "b": "...", "category": "..."} on each line'


@dataclass(frozen=True)
class SentencePair:
    """Two texts that differ in who or what they are about.

    Attributes:
        category: that both belong to.
        a: the one text.
        b: the other.
        where: field, file and line, for messages.
    """

    category: str
    a: str
    b: str
    where: str = field(default="", compare=False)


def pairs_of(job: JobFile) -> list[SentencePair]:
    """The pairs that a job has its exported model compare; none where it names none.

    Raises:
        ConfigError: they cannot be read; names the line.
    """
    fairness = job.spec.evaluation.fairness
    if fairness is None or job.pairs is None:
        return []
    return _read(Path(job.pairs), f"evaluation.fairness.pairs {fairness.pairs}")


def penalty_pairs_of(job: JobFile) -> list[SentencePair]:
    """The pairs that a job trains its model to find equally likely; none where it names none.

    Raises:
        ConfigError: they cannot be read; names the line.
    """
    fairness = job.spec.training.fairness
    if fairness is None:
        return []
    where = f"training.fairness.pairs {fairness.pairs}"
    if job.penalty_pairs is None:
        raise ConfigError(f"{where}: the job file names no place for it", "use the operator's version")
    return _read(Path(job.penalty_pairs), where)


def ids_of_text(tokenizer: Any, tokens: Tokens, text: str, *, masked: bool = False) -> list[int]:
    """The tokens of a text, and before them what a text begins after, so that the first is asked too.

    Args:
        tokenizer: as transformers opens it.
        tokens: its special ones.
        text: the text.
        masked: whether the model fills masks, and so begins as the tokenizer says.
    """
    found = [int(one) for one in tokenizer(text, verbose=False)["input_ids"]]
    if not masked and found[:1] != list(tokens.before[:1]):
        return [tokens.eos, *found]
    return found


def _read(path: Path, where: str) -> list[SentencePair]:
    try:
        if not path.is_file():
            raise ConfigError(f"{where}: there is no such file", "check the claim and the file's name")
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"{where} has {path.stat().st_size} bytes", f"use at most {LARGEST}")
        found = list(_parsed(path.read_text(encoding="utf-8-sig"), where))
    except UnicodeDecodeError:
        raise ConfigError(f"{where} is not UTF-8", FIX) from None
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}", "check the claim and the file's name") from None
    if not found:
        raise ConfigError(f"{where} has no pair", FIX)
    if (count := len({pair.category for pair in found})) > CATEGORIES:
        raise ConfigError(f"{where} has {count} categories", f"use at most {CATEGORIES}")
    return found


def _parsed(text: str, where: str) -> Iterator[SentencePair]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _pair(line, f"{where} line {number}")


def _pair(line: str, where: str) -> SentencePair:
    try:
        row: Any = json.loads(line)
    except ValueError:
        raise ConfigError(f"{where} is no JSON", FIX) from None
    if not isinstance(row, dict):
        raise ConfigError(f"{where} is no object", FIX)
    for name, longest in LONGEST.items():
        value = row.get(name)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{where} has no text {name}", FIX)
        if len(value) > longest:
            raise ConfigError(f"{where}: its {name} has {len(value)} characters", f"use at most {longest}")
    if row["a"] == row["b"]:
        raise ConfigError(f"{where}: its a and b are the same text", "let them differ in what is compared")
    return SentencePair(row["category"], row["a"], row["b"], where)
