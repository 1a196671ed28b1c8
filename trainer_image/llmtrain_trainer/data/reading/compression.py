"""Streams out of compressed files. Reading is bounded: nothing is unpacked ahead."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import IO, Any, cast

import zstandard
from typing_extensions import override

DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What a compressed file raises that is damaged or cut short, beside an OSError without a number."""
WINDOW = 1 << 27
"""Bytes of memory that a zstd file may ask for; its own tool unpacks no more by default either."""
CHUNK = 1 << 10
"""Packed bytes that are unpacked at once: four of them may be 128 KiB, so these come to 32 MiB at most."""


class _Zstandard(io.RawIOBase):
    """Frames of zstd one after another. The library's own stream takes a file that is cut short for whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest = b""
        self._unpacked = memoryview(b"")
        self._frame = self._begin()
        self._ended, self._any = False, False

    @staticmethod
    def _begin() -> Any:
        return zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._unpacked and not self._ended:
            self._more()
        count = min(len(buffer), len(self._unpacked))
        buffer[:count] = self._unpacked[:count]
        self._unpacked = self._unpacked[count:]
        return count

    def _more(self) -> None:
        if self._frame.eof:
            self._rest = self._frame.unused_data + self._rest
            self._frame = self._begin()
            self._any = False
        packed = self._rest or self._file.read(CHUNK)
        self._rest = b""
        if not packed:
            if self._any:
                raise EOFError("the last frame of zstd has no end")
            self._ended = True
            return
        self._any = True
        self._unpacked = memoryview(self._frame.decompress(packed))


def _unpacked_zstandard(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(_Zstandard(file), 1 << 20))


COMPRESSIONS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file)),
    ".zst": _unpacked_zstandard,
    ".bz2": lambda file: cast("IO[bytes]", bz2.BZ2File(file)),
    ".xz": lambda file: cast("IO[bytes]", lzma.LZMAFile(file)),  # noqa: SIM115
}
"""How a file is unpacked, by the ending of its name."""


def unpacked(file: IO[bytes], compression: str) -> IO[bytes]:
    """The bytes in a file; itself where it is not compressed."""
    return COMPRESSIONS[compression](file) if compression else file
