"""All units of a dataset under one tokenizer: the token stream, stored once for any length of rows.

A folder with

- ``set.json``, written last: what it was made from, and what each unit came to;
- ``tokenizer/``: a Hugging Face tokenizer;
- ``unit-SS-NNNNNN.train``, ``.heldout``: token ids of a unit's documents, each followed by the
  end-of-document id, little-endian; ``unit-SS-NNNNNN.json``: counts and digests. SS is the source's
  number.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...files import digest_of, read_json, sha256, write_json

SET = "set.json"
ITEM_SIZES = {"uint16": 2, "uint32": 4}


@dataclass(frozen=True)
class UnitTokens:
    """One unit of a set; pairs are training and held-out.

    Attributes:
        name: of its files.
        documents: documents.
        tokens: tokens.
        sha256: of the files.
    """

    name: str
    documents: tuple[int, int]
    tokens: tuple[int, int]
    sha256: tuple[str, str]


@dataclass(frozen=True)
class TokenSet:
    """What lies in a folder of tokens.

    Attributes:
        key: all that it was made from.
        dtype: numpy name of the token ids.
        eos: id of the end-of-document token.
        sources: units of each source, in order.
        report: what was read of each source.
    """

    key: dict[str, Any]
    dtype: str
    eos: int
    sources: list[list[UnitTokens]]
    report: list[dict[str, Any]]

    @property
    def digest(self) -> str:
        """One hash of all tokens."""
        return digest_of([self.dtype, self.eos, [[asdict(unit) for unit in units] for units in self.sources]])

    def files(self) -> dict[str, tuple[int, str]]:
        """Size and digest of each file of tokens, by name."""
        return {
            f"unit-{unit.name}.{side}": (unit.tokens[number] * ITEM_SIZES[self.dtype], unit.sha256[number])
            for units in self.sources
            for unit in units
            for number, side in enumerate(("train", "heldout"))
        }

    def torn(self, folder: Path, *, contents: bool = False) -> str | None:
        """The first file that is missing or not as it was made, in words; None when all are.

        Args:
            folder: of the set.
            contents: whether bytes are compared too, and not only sizes.
        """
        for name, (size, digest) in self.files().items():
            path = folder / name
            try:
                found = path.stat().st_size
            except OSError as error:
                return f"{name}: {error.strerror}"
            if found != size:
                return f"{name} has {found} bytes instead of {size}"
            if contents and sha256(path) != digest:
                return f"{name} has another sha256 than {SET} says"
        return None

    def write(self, folder: Path) -> None:
        """Write ``set.json``: the set is whole."""
        write_json(folder / SET, asdict(self))


def read_set(folder: Path) -> TokenSet | None:
    """The set in a folder; None where it is not whole."""
    raw = read_json(folder / SET)
    try:
        if raw is None:
            return None
        sources = [[UnitTokens(**_with_pairs(unit)) for unit in units] for units in raw.pop("sources")]
        return TokenSet(**raw, sources=sources)
    except (TypeError, KeyError, AttributeError):
        return None


def _with_pairs(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
