"""Data in a bucket or on a hub: listed as a folder is, and read in pieces without a copy on the disk."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any, cast

import fsspec
from typing_extensions import override

from llmtrain_api.names import DATASET_SECRET_PREFIX

from ...errors import ConfigError
from .patterns import EVERYTHING, Pattern, only, split
from .survey import HIDDEN, Survey, add_file, chosen, no_dataset, printable

S3 = "s3://"
BLOCK = 8 << 20
"""Bytes that are asked of a store at once."""
SECRET_FIX = {
    "s3": "name a Secret in dataset.secret that holds AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a "
    "store that is not Amazon's, AWS_ENDPOINT_URL",
    "hf": "name a Secret in dataset.secret that holds HF_TOKEN, of somebody who was given access",
}


def is_remote(name: str) -> bool:
    """Whether the name of a source is that of a bucket or of a dataset on the hub."""
    return "://" not in name or name.startswith(S3)


@dataclass(frozen=True)
class Store:
    """Where files lie that are on no disk. It can be handed to another process.

    Attributes:
        kind: ``s3`` or ``hf``.
        root: the bucket and what stands before the first wildcard; of the hub OWNER/NAME@COMMIT and that.
    """

    kind: str
    root: str

    def open(self, path: str) -> IO[bytes]:
        """A file as a stream that can be sought in."""
        with told(self.kind, path):
            inner = _files(self.kind).open(path, "rb", block_size=BLOCK)
        return cast("IO[bytes]", io.BufferedReader(_Stream(self.kind, path, inner), min(BLOCK, 1 << 16)))

    def find(self) -> dict[str, dict[str, Any]]:
        """What is known of each file below the root, by its path."""
        with told(self.kind, self.root):
            found: dict[str, dict[str, Any]] = _files(self.kind).find(self.root, detail=True)
        return {path: entry for path, entry in found.items() if entry["type"] == "file"}


@dataclass(frozen=True)
class StoredFile:
    """A file in a store."""

    store: Store
    path: str

    def open(self, _mode: str, /) -> IO[bytes]:
        """A stream that can be sought in."""
        return self.store.open(self.path)


class _Stream(io.RawIOBase):
    """A store's own stream, whose errors are those of a disk."""

    def __init__(self, kind: str, path: str, inner: IO[bytes]) -> None:
        self._kind, self._path, self._inner = kind, path, inner

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._inner.seek(offset, whence)

    @override
    def readinto(self, buffer: Any, /) -> int:
        with told(self._kind, self._path):
            data = self._inner.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    @override
    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


_NUMBERS = {PermissionError: errno.EACCES, FileNotFoundError: errno.ENOENT, OSError: errno.EIO}


@contextmanager
def told(kind: str, path: str) -> Iterator[None]:
    """Errors of a store's own library, which are of many kinds, as OSError with a number."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        kind_of_error = _kind_of(error)
        raise kind_of_error(_NUMBERS[kind_of_error], f"{kind}://{path}: {said[:300]}") from error


def _kind_of(error: Exception) -> type[OSError]:
    status = getattr(getattr(error, "response", None), "status_code", None)
    name = type(error).__name__
    if "Credentials" in name or "Gated" in name:
        return PermissionError
    # the hub says 401 of what is not there, so as not to tell what is
    if isinstance(error, FileNotFoundError) or status == 404 or "NotFound" in name:
        return FileNotFoundError
    return PermissionError if isinstance(error, PermissionError) or status in (401, 403) else OSError


def _secret(name: str) -> str | None:
    return os.environ.get(DATASET_SECRET_PREFIX + name) or os.environ.get(name)


@lru_cache(maxsize=4)
def _files(kind: str) -> Any:
    """The file system, one a process; what it listed before is not remembered."""
    if kind == "hf":
        return fsspec.filesystem("hf", **hub_access(), skip_instance_cache=True)
    options = {
        "key": _secret("AWS_ACCESS_KEY_ID"),
        "secret": _secret("AWS_SECRET_ACCESS_KEY"),
        "token": _secret("AWS_SESSION_TOKEN"),
        "endpoint_url": _secret("AWS_ENDPOINT_URL"),
    }
    given = {name: value for name, value in options.items() if value}
    return fsspec.filesystem("s3", **given, skip_instance_cache=True, use_listings_cache=False)


def hub_access() -> dict[str, Any]:
    """Endpoint and token of the hub."""
    return {"endpoint": _secret("HF_ENDPOINT"), "token": _secret("HF_TOKEN") or False}


def pinned(name: str, revision: str | None, where: str) -> str:
    """The commit that a branch or tag of a dataset on the hub names now.

    Args:
        name: OWNER/NAME, and maybe a path below it.
        revision: a branch, a tag or a commit; None for the default branch.
        where: the field and the name of the source, for messages.

    Raises:
        ConfigError: there is no such dataset or revision, or it may not be read.
    """
    from huggingface_hub import HfApi

    dataset = "/".join(name.split("/")[:2])
    with refused(where, "hf"), told("hf", f"datasets/{dataset}"):
        found = HfApi(**hub_access()).dataset_info(dataset, revision=revision)
    if not found.sha:
        raise ConfigError(f"{where}: the hub names no commit of it", "set dataset.revision to a commit")
    return str(found.sha)


@contextmanager
def refused(where: str, kind: str) -> Iterator[None]:
    """What a store refuses for good, as a mistake of the job.

    Raises:
        ConfigError: something that is not there, or may not be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        fix = "check the bucket's and the folder's name"
        if kind == "hf":
            fix = (
                "check OWNER/NAME and the revision, and name a Secret with HF_TOKEN in dataset.secret if it "
                "is private; a folder is pvc://CLAIM/FOLDER or file:///FOLDER"
            )
        raise ConfigError(f"{where} is not there: {error.strerror}", fix) from None
    except PermissionError as error:
        raise ConfigError(f"{where} may not be read: {error.strerror}", SECRET_FIX[kind]) from None


def survey_store(name: str, commit: str | None, where: str, columns: Collection[str] | None = None) -> Survey:
    """All files of a bucket's folder, or of a dataset on the hub, that hold data; see `survey.survey`.

    Args:
        name: of the source.
        commit: of a dataset on the hub.
        where: the field and the name, for messages.
        columns: that rows must have; None for any.

    Raises:
        ConfigError: nothing is there, it may not be read, or it is in a form that is not read.
    """
    kind = "s3" if name.startswith(S3) else "hf"
    path, pattern = split(name.removeprefix(S3).rstrip("/"))
    if kind == "hf":
        owner, dataset, *rest = path.split("/")
        path = "/".join([f"datasets/{owner}/{dataset}@{commit}", *rest])
    store = Store(kind, path)
    with refused(where, kind):
        found = store.find()
        if path in found:
            path, _, last = path.rpartition("/")
            pattern = only(last)
        names = {key[len(path) + 1 :]: entry for key, entry in found.items() if key.startswith(f"{path}/")}
        if not names:
            raise FileNotFoundError(errno.ENOENT, "it has no files")
        return chosen(_Listing(store, path, pattern, columns).survey(names))


class _Listing:
    """What of a store's listing holds data, by the rules for folders."""

    def __init__(
        self, store: Store, root: str, pattern: Pattern = EVERYTHING, columns: Collection[str] | None = None
    ) -> None:
        self._store, self._root, self._pattern, self._columns = store, root, pattern, columns

    def survey(self, names: dict[str, dict[str, Any]]) -> Survey:
        found = Survey()
        folders: dict[str, set[str]] = {}
        for name in names:
            folder, _, base = name.rpartition("/")
            folders.setdefault(folder, set()).add(base)
        passed_over = {
            folder: reason
            for folder, inside in folders.items()
            if folder and (reason := no_dataset(inside)) is not None
        }
        for folder, reason in passed_over.items():
            if self._pattern.leads_to(folder):
                found.skip(reason, printable(folder))
        for name, entry in sorted(names.items()):
            above = _folders_of(name)
            if not self._pattern.matches(name) or any(folder in passed_over for folder in above):
                continue
            if any(part.startswith(".") for part in name.split("/")):
                found.skip(HIDDEN, printable(name))
                continue
            file = StoredFile(self._store, f"{self._root}/{name}")
            version = str(entry.get("ETag") or entry.get("blob_id") or "")
            add_file(found, file, printable(name), int(entry["size"]), self._columns, version)
        return found


def _folders_of(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: length + 1]) for length in range(len(parts))]
