"""A mapping that is read field by field: what nobody has read in the end is told, and not lost in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmtrain.errors import Mistake

LEFT = "is not carried over"


def whole(value: object) -> int | None:
    """A whole number, also as text; None of anything else, such as ``auto``."""
    text = str(value)
    return int(text) if text.isdecimal() else None


class Fields:
    """One mapping of a manifest.

    Args:
        raw: the mapping.
        path: of it, for people.

    Raises:
        Mistake: it is none.
    """

    def __init__(self, raw: Any, path: str) -> None:
        if raw is not None and not isinstance(raw, dict):
            raise Mistake(f"{path}: must be a mapping")
        self.path = path
        self._raw: dict[str, Any] = dict(raw or {})
        self._inner: list[Fields] = []
        self._told: list[str] = []

    def take(self, name: str, usual: Any = None) -> Any:
        """A field's value, which counts as read."""
        found = self._raw.pop(name, None)
        return usual if found is None else found

    def inner(self, name: str) -> Fields:
        """A field that is a mapping; its own fields are told where nobody reads them."""
        found = Fields(self.take(name), f"{self.path}.{name}".lstrip("."))
        self._inner.append(found)
        return found

    def add(self, other: Fields) -> None:
        """Another mapping, what nobody has read of which is told with this one's."""
        self._inner.append(other)

    def put(self, name: str, value: Any) -> None:
        """A field's value in place of the one that was read, to be read again."""
        self._raw[name] = value

    def names(self) -> list[str]:
        """Fields that nobody has read yet."""
        return list(self._raw)

    def rest(self) -> dict[str, Any]:
        """All fields that nobody has read yet, which are then read."""
        found, self._raw = self._raw, {}
        return found

    def items(self, name: str) -> list[Any]:
        """A field that is a list.

        Raises:
            Mistake: it is none.
        """
        found = self.take(name, [])
        if not isinstance(found, list):
            raise Mistake(f"{self.path}.{name}: must be a list")
        return found

    def number(self, name: str) -> int | None:
        """A field that is a whole number; None where it is not there.

        Raises:
            Mistake: it is none.
        """
        found = self.take(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int):
            raise Mistake(f"{self.path}.{name}: got {found!r}; it must be a whole number")
        return found

    def drop(self, name: str, why: str) -> None:
        """A field that means nothing here: it is told why, where it is there."""
        if self.take(name) is not None:
            self.note(f"{self.path}.{name}: {why}")

    def ignore(self, *names: str) -> None:
        """Fields that are the same here whatever they say, or of which nobody needs to hear."""
        for name in names:
            self._raw.pop(name, None)

    def note(self, text: str) -> None:
        """Something that a person has to know."""
        self._told.append(text)

    def notes(self) -> Iterator[str]:
        """What a person has to know of it, and which fields nobody has read."""
        yield from self._told
        for name in self._raw:
            yield f"{self.path}.{name}: {LEFT}".lstrip(".")
        for one in self._inner:
            yield from one.notes()
