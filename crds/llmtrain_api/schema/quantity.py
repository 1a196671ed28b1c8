"""Kubernetes' quantities, such as ``500m``, ``0.5``, ``1e9`` or ``4Gi``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

ABOVE_ZERO = r"([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)"
SUFFIX = r"(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?(1[0-8]|0?[0-9]))?"
PATTERN = rf"\+?{ABOVE_ZERO}{SUFFIX}"
"""Kubernetes' whole grammar of quantities above 0, in RE2's words (no look-around)."""
MAX_LENGTH = 20
LARGEST = 2**63 - 1
"""Kubernetes caps every quantity at it."""
LARGEST_NUMBER = 10**18
"""The largest quantity that may be a number of YAML or JSON."""
DIGITS = 12
"""Significant digits of a fraction: with them it is no longer than a quantity may be."""
FINEST = 1e-9
"""The least quantity of Kubernetes: what is less is rounded up to it."""
UNITS = {
    unit: Decimal(1000) ** n for n, unit in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
}
UNITS |= {f"{unit}i": Decimal(1024) ** n for n, unit in enumerate("KMGTPE", 1)}


def quantity(value: str) -> Decimal:
    """The number that a Kubernetes quantity says, such as 4294967296 for ``4Gi``.

    Raises:
        ValueError: it is no quantity above 0.
    """
    found = re.fullmatch(PATTERN, value)
    if found is None or len(value) > MAX_LENGTH:
        raise ValueError(f"{value!r} is no Kubernetes quantity")
    suffix: str = found[3] or ""
    number = Decimal(value.removesuffix(suffix))
    size = number * UNITS[suffix] if suffix in UNITS else number.scaleb(int(suffix[1:]))
    return min(size, Decimal(LARGEST))


def canonical(value: str) -> str:
    """The same quantity as Kubernetes itself writes it: without a fraction, rounded up to thousandths."""
    size = quantity(value)
    if size < LARGEST and re.fullmatch(r"[1-9][0-9]*(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?", value):
        return value
    if size == size.to_integral_value():
        return str(int(size))
    return f"{int((size * 1000).to_integral_value(ROUND_CEILING))}m"


def _reader(fix: str) -> Callable[[Any], str]:
    """Reads a quantity from a number of YAML or JSON or from a string, as text.

    Args:
        fix: what would be right, for the message.
    """

    def read(value: Any) -> str:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        try:
            if not isinstance(value, str) and not (number and 0 < value <= LARGEST_NUMBER):
                raise ValueError(value)
            text = f"{max(value, FINEST):.{DIGITS}g}" if isinstance(value, float) else str(value)
            quantity(text)
        except ValueError:
            shown = json.dumps(value, default=str)
            raise PydanticCustomError(
                "quantity", "got {got}; use {fix}", {"got": shown, "fix": fix}
            ) from None
        return text

    return read


SCHEMA: dict[str, Any] = {
    # no type of OpenAPI holds both 0.5 and "500m", Kubernetes' int-or-string refuses fractions, and CEL
    # cannot see a field without a type: so a pattern and bounds say it, and keep out all that is neither
    "x-kubernetes-preserve-unknown-fields": True,
    "pattern": f"^({PATTERN})$",
    "maxLength": MAX_LENGTH,
    "exclusiveMinimum": 0,
    "maximum": LARGEST_NUMBER,
    "not": {"enum": [True, False, [], {}]},
    "maxProperties": 0,
    "maxItems": 0,
}

CpuQuantity = Annotated[
    str, PlainValidator(_reader("a Kubernetes quantity, such as 2, 0.5 or 500m")), WithJsonSchema(SCHEMA)
]
"""CPUs, as the text of a quantity."""
MemoryQuantity = Annotated[
    str, PlainValidator(_reader("a Kubernetes quantity, such as 512Mi or 4Gi")), WithJsonSchema(SCHEMA)
]
"""Bytes, as the text of a quantity."""
