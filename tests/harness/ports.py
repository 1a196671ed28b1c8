"""Ports for servers that a test starts a moment later."""

from __future__ import annotations

from llmtrain_operator.local.kubelet import ports

_FIRST, _LAST = 13_000, 19_999
"""Below those of `hack/cluster` and of the gangs of `llmtrain run`."""


def free_port() -> int:
    """A port that nobody has on any address now, and hardly anybody asks for in the next seconds."""
    return ports.free_port(_FIRST, _LAST)
