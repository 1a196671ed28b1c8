"""Which files below a folder a name with wildcards asks for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

ANY_DEPTH = "**"
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Pattern:
    """A pattern for each folder's and the file's name; ``**`` stands for any number of folders.

    Attributes:
        parts: of the path; none asks for everything.
    """

    parts: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        """Whether a file is asked for, or lies in a folder that is."""
        names = name.split("/")
        return any(_matches(names[:length], self.parts) for length in range(len(names) + 1))

    def leads_to(self, folder: str) -> bool:
        """Whether something in a folder may be asked for."""
        return self.matches(folder) or _leads(folder.split("/"), self.parts)


EVERYTHING = Pattern()


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == ANY_DEPTH:
        return any(_matches(names[after:], parts[1:]) for after in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def _leads(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not names or not parts:
        return bool(parts)
    return parts[0] == ANY_DEPTH or (fnmatchcase(names[0], parts[0]) and _leads(names[1:], parts[1:]))


def only(name: str) -> Pattern:
    """The pattern of one name."""
    return Pattern((_WILD.sub(lambda found: f"[{found[0]}]", name),))


def split(path: str) -> tuple[str, Pattern]:
    """The folder before the first name with a wildcard, and the pattern below it."""
    parts = path.split("/")
    first = next((place for place, part in enumerate(parts) if _WILD.search(part)), len(parts))
    return "/".join(parts[:first]), Pattern(tuple(part for part in parts[first:] if part))
