"""Print the requirements of the given extras of pyproject.toml, one a line.

Images and the test environment install dependencies apart from our code, so that a change of code never
reinstalls torch. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

NAME = "llm-training-operator"


def requirements(project: dict[str, object], extras: list[str]) -> list[str]:
    """Base dependencies plus those of ``extras``, with references to our own extras expanded, sorted.

    Raises:
        KeyError: an extra that pyproject.toml does not define.
    """
    optional: dict[str, list[str]] = project["optional-dependencies"]  # type: ignore[assignment]
    base: list[str] = project["dependencies"]  # type: ignore[assignment]
    found: set[str] = set(base)
    queue = list(extras)
    while queue:
        for requirement in optional[queue.pop()]:
            own = re.fullmatch(rf"{NAME}\[([a-z,]+)\]", requirement)
            if own:
                queue.extend(own[1].split(","))
            else:
                found.add(requirement)
    return sorted(found)


def main(argv: list[str]) -> int:
    """``requirements.py PYPROJECT EXTRA [EXTRA ...]``."""
    if len(argv) < 2:
        print("usage: requirements.py PYPROJECT EXTRA [EXTRA ...]", file=sys.stderr)
        return 2
    project = tomllib.loads(Path(argv[0]).read_text())["project"]
    try:
        print("\n".join(requirements(project, argv[1:])))
    except KeyError as missing:
        print(f"requirements.py: pyproject.toml defines no extra {missing}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
