"""Ports where the ranks of a gang on one machine meet."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from llmtrain_operator.local.kubelet import ports


def test_no_connection_takes_a_port_before_its_rank_listens() -> None:
    """Seconds pass between; what the kernel gives away for connections is no choice."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(ports.FIRST <= ports.free_port() <= ports.LAST < first for _ in range(200))


def test_a_port_that_somebody_has_is_not_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="no free port"):
            ports.free_port(port, port)
