"""What no test of a process leaves to the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A test that sets up or silences the log does so for itself alone."""
    configured, before = structlog.is_configured(), structlog.get_config()
    yield
    if structlog.get_config() == before:
        return
    if configured:
        structlog.configure(**before)
    else:
        structlog.reset_defaults()
