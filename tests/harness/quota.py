"""A limit on the size of files, as a quota sets it: a write stops in the middle (EFBIG)."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows beyond ``size`` bytes.

    Ends with the block, never later: pytest writes its own output, which may be a long file, between the
    body of a test and the end of its fixtures.
    """
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
