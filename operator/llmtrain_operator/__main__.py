"""``python -m llmtrain_operator``."""

from __future__ import annotations

import asyncio
import sys

import structlog

from .heap import spare_what_stays
from .logs import configure
from .run import NotInstalled, operate
from .settings import parse


def main() -> None:
    """Run until a signal comes. Exit code 1 = something that must never end has ended."""
    settings = parse(sys.argv[1:])
    configure()
    spare_what_stays()
    try:
        asyncio.run(operate(settings))
    except NotInstalled as error:
        structlog.get_logger().error("not-installed", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
