"""Ports for servers that a test starts a moment later."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 13_000, 19_999
"""Below the ephemeral ports, which any connection may take in between, and below those of `hack/cluster`."""


def free_port() -> int:
    """A port that nobody has on any address now, and hardly anybody asks for in the next seconds."""
    chance = random.SystemRandom()  # tests that run beside this one must not draw the same
    for _ in range(100):
        port = chance.randint(_FIRST, _LAST)
        try:
            # a server on every address is refused where another has only one of them
            socket.create_server(("", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"no port between {_FIRST} and {_LAST} is free")
