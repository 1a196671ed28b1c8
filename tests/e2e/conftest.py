"""A namespace of its own on the two-node cluster, with a shared volume."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.cluster import Namespace
from harness.namespaces import namespace_with_volume


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    """A namespace with a shared claim of its own, under Pod Security ``restricted``."""
    with namespace_with_volume() as found:
        yield found
