"""Bytes to text, a bounded chunk at a time: byte order marks, and bytes that are no text."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import IO

from ...errors import ConfigError

CHUNK = 1 << 20
REPLACEMENT = "\ufffd"
FEW = 16
"""So many characters of a file may always be replaced."""
SHARE = 200
"""More than one in so many bytes, and the file is not what its name says."""

_Decode = Callable[[bytes, str, bool], tuple[str, int]]
_MARKS: tuple[tuple[bytes, str, _Decode], ...] = (
    (codecs.BOM_UTF8, "utf-8", codecs.utf_8_decode),
    (codecs.BOM_UTF32_LE, "utf-32", codecs.utf_32_le_decode),
    (codecs.BOM_UTF32_BE, "utf-32", codecs.utf_32_be_decode),
    (codecs.BOM_UTF16_LE, "utf-16", codecs.utf_16_le_decode),
    (codecs.BOM_UTF16_BE, "utf-16", codecs.utf_16_be_decode),
)
"""UTF-32 before UTF-16, whose little-endian mark is the beginning of its own."""


class Decoder:
    """Decodes one file by its byte order mark, UTF-8 without one, and counts what it had to replace.

    Attributes:
        name: of the file, for messages.
        replaced: characters that were replaced so far.
        first: line and byte of the first one.
        consumed: bytes of the stream that were decoded so far.
        characters: that they came to.
        fetched: bytes of the stream that were read so far; those that are not decoded yet included.

    Args:
        name: of the file.
        at: byte of the file that the stream begins with.
        lines: of the file before it; None where nobody counted them.
    """

    def __init__(self, name: str, at: int = 0, lines: int | None = 0) -> None:
        self.name, self._at = name, at
        self.replaced = self.consumed = self.characters = self.fetched = 0
        self.first = ""
        _, self._encoding, self._decode = encoding_of(b"")
        self._nul = 0
        self._lines = lines

    def chunks(self, file: IO[bytes]) -> Iterator[str]:
        """The text of a file, in order.

        Raises:
            ConfigError: more than a small share of the file is no text.
        """
        rest = self._past_mark(file.read(CHUNK))
        final = False
        while not final:
            more = file.read(CHUNK)
            final = not more
            self.fetched += len(more)
            text, used = self._decoded(rest, final)
            self.consumed += used
            self.characters += len(text)
            if self._lines is not None:
                self._lines += text.count("\n")
            self._nul += text.count("\0")
            self._require_text()
            if text:
                yield text
            rest = rest[used:] + more

    def _past_mark(self, start: bytes) -> bytes:
        mark, self._encoding, self._decode = encoding_of(b"" if self._at else start)
        self.consumed = len(mark)
        self.fetched = len(start)
        return start[len(mark) :]

    def _decoded(self, data: bytes, final: bool) -> tuple[str, int]:
        try:
            return self._decode(data, "strict", final)
        except UnicodeDecodeError as error:
            if not self.first:
                before = self._decode(data[: error.start], "replace", True)[0].count("\n")
                line = "" if self._lines is None else f"line {1 + self._lines + before}, "
                self.first = f"{line}byte {self._at + self.consumed + error.start}"
        text, used = self._decode(data, "replace", final)
        # characters that were U+FFFD in the file itself are no damage
        own = self._decode(data, "ignore", final)[0].count(REPLACEMENT)
        self.replaced += text.count(REPLACEMENT) - own
        return text, used

    def _require_text(self) -> None:
        bad = self.replaced + self._nul
        if not too_many(bad, self.consumed):
            return
        what = f"is not {self._encoding} text: {bad} of its first {self.consumed} bytes are no text"
        where = f", the first at {self.first}" if self.first else ", but zero bytes"
        raise ConfigError(
            f"{self.name} {what}{where}",
            "convert the file to UTF-8 (iconv -f ITS-ENCODING -t utf-8), or take it out of the folder",
        )


def encoding_of(start: bytes) -> tuple[bytes, str, _Decode]:
    """The byte order mark that a file begins with, which may be none, its encoding and what decodes it."""
    found = (known for known in _MARKS if start.startswith(known[0]))
    return next(found, (b"", "utf-8", codecs.utf_8_decode))


def too_many(replaced: int, of_bytes: int) -> bool:
    """Whether so much of the text is no text that it must be something else."""
    return replaced > FEW and replaced * SHARE > of_bytes


def escaped(text: str) -> str:
    """Text in which what cannot be seen is spelled out: it moves no cursor and breaks no line."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
