"""How long the texts of a status may be, and how large its numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Text = Annotated[str, Field(max_length=256)]
LongText = Annotated[str, Field(max_length=4096)]
MAX_COUNT = 2**53
"""Every count up to here is the same number for whoever reads JSON."""
MAX_FIGURE = 1e30
"""Larger than any loss, norm or rate that still means something; as text it fits into a column."""
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Figure = Annotated[float, Field(ge=-MAX_FIGURE, le=MAX_FIGURE)]
Rate = Annotated[float, Field(ge=0, le=MAX_FIGURE)]
ExitCode = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
