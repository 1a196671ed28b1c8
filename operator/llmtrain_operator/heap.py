"""What the garbage collector need not look at again."""

from __future__ import annotations

import gc


def spare_what_stays() -> None:
    """Take all that is there now out of the garbage collector's sight: it stays as long as the process.

    A full collection goes through every object while nothing is decided and no report is answered. Most of an
    operator's objects are of imported modules, and are never garbage.
    """
    gc.collect()
    gc.freeze()
