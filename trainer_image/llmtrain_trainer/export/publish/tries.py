"""How often a push is tried, and how long one may be silent: the same wherever it goes."""

from __future__ import annotations

from collections.abc import Callable

from llmtrain_api import PublishedResult

from ... import log
from .provider import Provider, failed

TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 5.0, 120.0
SILENT_SECONDS = 120.0
"""A request without a byte for so long has failed: a library itself would wait for ever."""
FOR_GOOD = frozenset({400, 401, 402, 403, 404, 410, 413, 422})
"""Answers that another try does not change."""
NO_ACCESS = frozenset({401, 403, 404})
"""Answers to those who may not write; many a place says 404 of what is private."""


def pushed(provider: Provider, sleep: Callable[[float], None]) -> PublishedResult:
    """Try a few times; never an error."""
    wait, number = FIRST_WAIT, 1
    while True:
        try:
            found = provider.push()
            log.get().info("the export is pushed", to=provider.target, url=found.url)
            return found
        except Exception as error:  # whatever a server, a proxy or a library does: the model is there
            refused = provider.refused(error)
            log.get().warning("the push has failed", to=provider.target, number=number, error=refused.words)
            if refused.for_good or number == TRIES:
                return failed(provider.asked, f"{refused.words}; {refused.fix}")
        sleep(wait)
        wait, number = min(2 * wait, LONGEST_WAIT), number + 1
