"""Ports for servers that a test starts a moment later."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 13_000, 19_999
"""Below the ephemeral ports, which any connection may take in between, and below those of `hack/cluster`."""


def free_port() -> int:
    """A port of the loopback address that nobody has now, and hardly anybody asks for in the next seconds."""
    chance = random.SystemRandom()  # tests that run beside this one must not draw the same
    for _ in range(100):
        with socket.socket() as probe:
            port = chance.randint(_FIRST, _LAST)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no port between {_FIRST} and {_LAST} is free")
