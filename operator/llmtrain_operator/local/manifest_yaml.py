"""YAML as kubectl reads it, so that one text is one document on a laptop and in a cluster.

kubectl reads YAML 1.1 by its own lights: ``yes`` and ``on`` are true, ``010`` is 8, ``1_000`` is 1000 and
``1e3`` is a number, but ``1:30`` and ``2026-01-02`` are texts. PyYAML differs in the last three.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

TRUE = frozenset(word for base in ("y", "yes", "true", "on") for word in (base, base.title(), base.upper()))
FALSE = frozenset(word for base in ("n", "no", "false", "off") for word in (base, base.title(), base.upper()))
NULL = frozenset(("", "~", "null", "Null", "NULL"))
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
INTEGER = re.compile(r"([-+]?)(0[bB][01]+|0[oO]?[0-7]+|0[xX][0-9a-fA-F]+|0|[1-9][0-9]*)")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")
TAG = "tag:yaml.org,2002:"


def scalar(text: str) -> bool | int | float | str | None:
    """What kubectl makes of a value without quotes.

    Raises:
        ValueError: a number that JSON cannot hold.
    """
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no number of JSON; use a finite number")
    if text[0] not in "+-.0123456789":
        return text
    plain = BETWEEN_DIGITS.sub("", text) if text[0] == "." else text.replace("_", "")
    found = INTEGER.fullmatch(plain)
    if found is not None:
        number = int(found[1] + _prefixed(found[2]), 0)
        if -(2**63) <= number < 2**64:
            return number
    return _float(plain) if FLOAT.fullmatch(plain) else text


def _prefixed(digits: str) -> str:
    """Go's ``010`` is Python's ``0o10``."""
    octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
    return f"0o{digits[1:]}" if octal else digits


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a number; use a smaller one")
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _key(key: Any, node: yaml.Node) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float):
        return json.dumps(key)
    raise yaml.constructor.ConstructorError(None, None, "a name must be a text", node.start_mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with kubectl's types."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that has none in the text."""
        if kind is not yaml.ScalarNode:
            return yaml.SafeLoader.resolve(self, kind, value, implicit)  # type: ignore[no-untyped-call]
        without_quotes = implicit[0]
        if not without_quotes:
            return f"{TAG}str"
        return f"{TAG}merge" if value == "<<" else f"{TAG}plain"

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping of JSON: its names are texts."""
        self.flatten_mapping(node)
        return {
            _key(self.construct_object(key, deep=True), key): self.construct_object(value, deep=deep)
            for key, value in node.value
        }

    def construct_plain(self, node: yaml.ScalarNode) -> Any:
        """The value of a scalar without quotes."""
        try:
            return scalar(node.value)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_text(self, node: yaml.ScalarNode) -> str:
        """A time stays the text that it is, and so does ``<<`` where it merges nothing."""
        return str(node.value)


for _name in ("plain", "null", "bool", "int", "float"):
    _Loader.add_constructor(f"{TAG}{_name}", _Loader.construct_plain)
for _name in ("timestamp", "merge"):
    _Loader.add_constructor(f"{TAG}{_name}", _Loader.construct_text)


def load(text: str) -> Any:
    """The one document of a YAML or JSON text; empty ones beside it do not count.

    Raises:
        yaml.YAMLError: it is no YAML, or more than one document.
    """
    return only(load_all(text))


def load_all(text: str) -> list[Any]:
    """The documents of a YAML or JSON text that are not empty.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    # made of a safe loader: no tag makes anything but plain values
    return [document for document in yaml.load_all(text, _Loader) if document is not None]


class _Dumper(yaml.SafeDumper):
    """Texts that kubectl would take for something else are quoted; nothing is an anchor."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Written out where it is used twice: nobody reads anchors in a manifest."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """A text, in quotes where it needs them."""
        try:
            plain = not text or scalar(text) == text
        except ValueError:
            plain = False
        escaped = not text.replace("\n", "").isprintable()
        return self.represent_scalar(f"{TAG}str", text, style='"' if escaped else None if plain else "'")


_Dumper.add_representer(str, _Dumper.represent_text)


def dump_all(documents: Iterable[Any]) -> str:
    """YAML of JSON-like documents that kubectl and `load_all` read as what they are."""
    text: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def unreadable(error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    """Why a file cannot be read, in a sentence: where it goes wrong, and what is wrong there."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 (byte {error.start}); save it as UTF-8"
    if isinstance(error, OSError):
        return f"it cannot be read: {error.strerror or error}"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    words = " ".join(filter(None, (getattr(error, "problem", ""), getattr(error, "context", ""))))
    return f"line {mark.line + 1}, column {mark.column + 1} is no YAML: {words}"


def only(found: list[Any]) -> Any:
    """The one of them; None of none.

    Raises:
        yaml.YAMLError: there are more.
    """
    if len(found) > 1:
        raise yaml.YAMLError(f"it has {len(found)} documents; write one job into each file")
    return found[0] if found else None
