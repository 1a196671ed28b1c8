"""Specs that were read lately, bounded by bytes: no namespace can fill the operator's memory with objects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from llmtrain_api import JobSpec

ReadSpec = tuple[JobSpec | None, tuple[str, ...]]
"""A spec, or None and what is wrong with it."""
MAX_BYTES = 8 << 20
"""Of all specs as JSON; read, a spec takes about four times as much."""


class SpecCache:
    """A spec changes seldom and is looked at often: reading it is a quarter of a plan's time."""

    def __init__(self, read: Callable[[bytes, bool], ReadSpec], max_bytes: int = MAX_BYTES) -> None:
        self._read = read
        self._max_bytes = max_bytes
        self._found: OrderedDict[tuple[bytes, bool], ReadSpec] = OrderedDict()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the specs in it, as JSON."""
        return self._bytes

    def read(self, raw: bytes, file_outputs: bool) -> ReadSpec:
        """The spec behind some JSON.

        Args:
            raw: the JSON.
            file_outputs: whether a folder of the pod is an output that stays.
        """
        key = (raw, file_outputs)
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
            return found
        found = self._read(raw, file_outputs)
        self._found[key] = found
        self._bytes += len(raw)
        while self._bytes > self._max_bytes:
            (old, _), _ = self._found.popitem(last=False)
            self._bytes -= len(old)
        return found
