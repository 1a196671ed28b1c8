"""The images that a row names: files beside the row's own, or bytes in the row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...files import stays_inside
from ...pictures import LARGEST
from ..reading.patterns import split
from ..reading.record import kind_of
from ..reading.stores import is_remote
from ..sources import Text

AT, WITHIN = "path", "bytes"
"""Names in an image of a table, as datasets of the hub have them."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a row.

    Attributes:
        path: relative to the folder of the dataset; empty where the row has the bytes.
        data: the bytes; empty where the row has a path.
        where: file, line and place in the row, for messages.
    """

    path: str
    data: bytes
    where: str

    @property
    def identity(self) -> str:
        """What tells it from another, for a split by content."""
        return self.path or hashlib.sha256(self.data).hexdigest()

    def read(self, root: Path | None) -> bytes:
        """The whole file.

        Args:
            root: folder of the dataset; None where it lies in a store.

        Raises:
            ConfigError: there is none, or it lies outside of the folder.
        """
        if not self.path:
            return self.data
        if root is None:
            raise ConfigError(
                f"{self.where} is a path, and the dataset lies in a store",
                "use .parquet with the bytes of images, or a folder on a claim",
            )
        place = (root / self.path).resolve()
        if not place.is_relative_to(root.resolve()):
            raise ConfigError(
                f"{self.where} {self.path!r} is a link out of the dataset's folder", "copy the file into it"
            )
        if place.exists() and not place.is_file():  # a pipe would be waited for
            raise ConfigError(f"{self.where} {self.path!r} is no plain file", "name a PNG or JPEG file")
        try:
            with place.open("rb") as file:
                return file.read(LARGEST + 1)
        except OSError as error:
            raise ConfigError(
                f"{self.where} {self.path!r} cannot be read: {error.strerror}",
                "put the file there, or correct the path (it begins at the file with the row)",
            ) from None


def root_of(source: Text) -> Path | None:
    """The folder that paths of a source's files begin at; None for a source in a store."""
    if is_remote(source.name):
        return None
    if source.folder.is_file():
        return source.folder.parent
    return source.folder if source.folder.is_dir() else Path(split(str(source.folder))[0])


def picture_of(value: Any, file: str, where: str) -> Picture:
    """What a row says of an image.

    Args:
        value: a path, or bytes, or an object with one of them.
        file: of the row, relative to the dataset's folder.
        where: file, line and place in the row.

    Raises:
        ConfigError: it is neither, or a path that leads out of the dataset's folder.
    """
    if isinstance(value, Mapping):
        within = value.get(WITHIN)
        value = value.get(AT) if within is None else within
    if isinstance(value, bytes):
        return Picture("", value, where)
    if not isinstance(value, str) or not value:
        raise ConfigError(
            f"{where} is {kind_of(value) if value != '' else 'empty'}, and no image",
            'use a path beside the file, such as "images/1.png", or {"bytes": ...} in .parquet',
        )
    folder = file.rpartition("/")[0]
    if "\0" in value or value.startswith("/") or "://" in value or not stays_inside(value):
        raise ConfigError(
            f"{where} {value[:100]!r} leads out of the dataset's folder",
            "use a path that begins at the file with the row, without '..'",
        )
    return Picture(f"{folder}/{value}" if folder else value, b"", where)
