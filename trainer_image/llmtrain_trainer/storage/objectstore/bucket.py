"""Objects below one URL, through fsspec. The only file that talks to the store."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from ...files import stays_inside


class Bucket:
    """Objects by their key below ``url``. Credentials and the endpoint come from the environment.

    Every method raises OSError, with the URL in its text, for whatever the store or the way to it refuses:
    FileNotFoundError for a bucket that is not there, PermissionError for one that may not be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # a listing that is remembered would hide what other nodes wrote
        options = {"skip_instance_cache": True, "use_listings_cache": False}
        with self._store_errors():
            self._files, self._root = fsspec.url_to_fs(self.url, **options)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Bytes of every object whose key begins with ``prefix/``, by the rest of its key."""
        with self._store_errors():
            found = self._files.find(self._path(prefix), detail=True)
        start = self._path(prefix) + "/"
        # a folder that appears while it is listed may be given as one of its own files
        return {path[len(start) :]: int(entry["size"]) for path, entry in found.items() if path > start}

    def versions(self, prefix: str) -> dict[str, str]:
        """The store's digest of every object whose key begins with ``prefix/``, by the rest of its key.

        A store that has none gives size and time instead.
        """
        with self._store_errors():
            found = self._files.find(self._path(prefix), detail=True)
        start = self._path(prefix) + "/"
        return {path[len(start) :]: _version(entry) for path, entry in found.items() if path > start}

    def read(self, key: str) -> bytes:
        """An object's content.

        Raises:
            FileNotFoundError: there is none.
        """
        with self._store_errors():
            content: bytes = self._files.cat_file(self._path(key))
        return content

    def read_range(self, key: str, start: int, stop: int) -> bytes:
        """The bytes of an object from ``start`` to before ``stop``.

        Raises:
            FileNotFoundError: there is no such object.
        """
        with self._store_errors():
            content: bytes = self._files.cat_file(self._path(key), start=start, end=stop)
        return content

    def create(self, key: str, content: bytes) -> bool:
        """Write an object that is not there yet; False when it is. Of two writers exactly one succeeds."""
        self._parent(key)
        try:
            with self._store_errors():
                self._files.pipe_file(self._path(key), content, mode="create")
        except FileExistsError:
            return False
        return True

    def write(self, key: str, content: bytes) -> None:
        """Write an object, over one that is there."""
        self._parent(key)
        with self._store_errors():
            self._files.pipe_file(self._path(key), content)

    def upload(self, folder: Path, names: Iterable[str], prefix: str) -> None:
        """Put files of a folder under a prefix; an object appears whole or not at all."""
        for name in names:
            key = f"{prefix}/{name}".lstrip("/")
            self._parent(key)
            with self._store_errors():
                self._files.put_file(str(folder / name), self._path(key))

    def download(self, prefix: str, names: Iterable[str], folder: Path) -> None:
        """Get objects under a prefix into a folder.

        Raises:
            FileNotFoundError: one of them is not there.
            OSError: also for a name that would lie outside of the folder; nothing is downloaded then.
        """
        names = list(names)
        for name in names:
            if not stays_inside(name):
                raise OSError(
                    errno.EINVAL, f"{self.url}: {name!r} under {prefix} is not a name inside a folder"
                )
        for name in names:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with self._store_errors():
                self._files.get_file(self._path(f"{prefix}/{name}"), str(file))

    def delete(self, prefix: str) -> None:
        """Delete everything under a prefix, if there is anything."""
        if self.sizes(prefix):
            with self._store_errors():
                self._files.rm(self._path(prefix), recursive=True)

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _parent(self, key: str) -> None:
        # only file systems have folders
        if "file" in self._files.protocol:
            self._files.makedirs(self._path(key).rpartition("/")[0], exist_ok=True)

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Errors of the store's own library, which are of many kinds, as OSError."""
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            kind = type(error)
            raise kind(error.errno or errno.EIO, f"{self.url}: {error.strerror or error}") from error
        except Exception as error:
            kind = PermissionError if "Credentials" in type(error).__name__ else OSError
            number = errno.EACCES if kind is PermissionError else errno.EIO
            raise kind(number, f"{self.url}: {error}") from error


def _version(entry: Mapping[str, Any]) -> str:
    times = (entry.get(name) for name in ("LastModified", "mtime", "created"))
    return str(entry.get("ETag") or f"{entry['size']} {next(filter(None, times), '')}")
