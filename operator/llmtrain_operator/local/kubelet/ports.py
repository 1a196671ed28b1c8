"""Ports where the ranks of a gang on this machine meet, seconds after one is chosen."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 20_000, 29_999
"""Below the ephemeral ports of Linux (32768 and up), which connections may take before a rank listens."""
TRIES = 100


def free_port(first: int = FIRST, last: int = LAST) -> int:
    """A port that nobody has on any address now, and hardly anybody asks for in the next seconds.

    Args:
        first: the lowest that it may be.
        last: the highest.

    Raises:
        OSError: there is none to be found.
    """
    chance = random.SystemRandom()  # runs that start beside each other must not draw the same
    for _ in range(TRIES):
        port = chance.randint(first, last)
        try:
            # a server on every address is refused where another has only one of them
            socket.create_server(("", port)).close()
        except OSError:
            continue
        return port
    raise OSError(f"no free port between {first} and {last}: {TRIES} were tried")
