"""Marks beside a stored token's id: in data whose task trains on some tokens of a row only."""

from __future__ import annotations

from typing import Any

NOT_TRAINED, FIRST_OF_DOCUMENT = 1 << 31, 1 << 30
"""Bits of a stored token beside its id: no loss is taken for it; a document begins with it."""
ID = FIRST_OF_DOCUMENT - 1
"""Bits of the id."""


def ids_of(tokens: Any) -> Any:
    """Tokens without their marks: of an int, an array or a tensor."""
    return tokens & ID
