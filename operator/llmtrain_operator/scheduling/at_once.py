"""No queue: each gang starts at once, as on a laptop, and the cluster's scheduler has the last word."""

from __future__ import annotations

import asyncio

from llmtrain_api import Job

from ..types import ADMITTED, Admission


class AtOnce:
    """Lets everybody in."""

    def note(self, _: Job) -> None:
        """Nothing to remember."""

    def forget(self, _: tuple[str, str]) -> None:
        """Nothing was remembered."""

    async def decide(self, _: Job) -> Admission:
        """Yes."""
        return ADMITTED

    def wants_back(self, _: Job) -> str:
        """No."""
        return ""

    async def run(self) -> None:
        """Nothing changes."""
        await asyncio.Future()
