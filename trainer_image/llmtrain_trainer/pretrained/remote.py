"""The files of a model on a hub or in a bucket: looked at by ranges, or copied whole. No torch."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Protocol

from ..models.headers import Files
from ..storage.objectstore.bucket import Bucket
from .access import told

WANTED = re.compile(r"[^/]+\.(json|safetensors|jinja|model)|(vocab|merges)\.txt")
"""Files that are copied: weights, configurations, tokenizers. No code and no pickles ever are."""


class Remote(Files, Protocol):
    """Files of a model that are on no disk yet.

    Attributes:
        commit: the state of them that was looked at; None where the place has no history.
    """

    commit: str | None

    def copy(self, names: list[str], folder: Path) -> None:
        """Copy some of them into a folder."""


class HubFiles:
    """A model on a hub, as it is in one commit.

    Args:
        name: OWNER/NAME.
        revision: a branch, a tag or a commit; None for the default branch.
        where: what messages call it.

    Raises:
        ConfigError: there is no such model or revision, or it may not be read.
    """

    def __init__(self, name: str, revision: str | None, where: str) -> None:
        from huggingface_hub import HfApi, HfFileSystem

        self.name, self.where = name, where
        self._endpoint = os.environ.get("HF_ENDPOINT")
        self._api = HfApi(endpoint=self._endpoint)
        self._files = HfFileSystem(endpoint=self._endpoint, skip_instance_cache=True)
        with told(where):
            self.commit: str | None = self._api.model_info(name, revision=revision).sha
        self._sizes: dict[str, int] = {}

    def sizes(self) -> dict[str, int]:
        """See `Files`. What is in folders below is not the model's."""
        if not self._sizes:
            with told(self.where):
                found: list[Any] = list(self._api.list_repo_tree(self.name, revision=self.commit))
            self._sizes = {one.path: one.size for one in found if hasattr(one, "size")}
        return self._sizes

    def versions(self) -> None:
        """See `Files`: the commit tells."""

    def read(self, name: str, start: int, stop: int) -> bytes:
        """See `Files`."""
        with told(self.where):
            content: bytes = self._files.cat_file(
                f"{self.name}@{self.commit}/{name}", start=start, end=min(stop, self.sizes()[name])
            )
        return content

    def copy(self, names: list[str], folder: Path) -> None:
        """See `Remote`. What was copied before is not copied again."""
        from huggingface_hub import hf_hub_download

        for name in names:
            with told(self.where):
                hf_hub_download(
                    self.name, name, revision=self.commit, local_dir=folder, endpoint=self._endpoint
                )


class BucketFiles:
    """A model in a folder of an object store.

    Args:
        url: ``s3://BUCKET/FOLDER``.
        where: what messages call it.
    """

    commit: str | None = None

    def __init__(self, url: str, where: str) -> None:
        scheme, _, path = url.rstrip("/").partition("://")
        owner, _, self._folder = path.partition("/")
        self.where = where
        with told(where):
            self._bucket = Bucket(f"{scheme}://{owner}")
        self._sizes: dict[str, int] = {}

    def sizes(self) -> dict[str, int]:
        """See `Files`.

        Raises:
            ConfigError: there is nothing, or it may not be read.
        """
        if not self._sizes:
            with told(self.where):
                found = self._bucket.sizes(self._folder)
                self._sizes = {name: size for name, size in found.items() if "/" not in name}
                if not self._sizes:
                    raise FileNotFoundError(self.where)
        return self._sizes

    def versions(self) -> dict[str, str]:
        """See `Files`: the store's digests, as they are now."""
        with told(self.where):
            found = self._bucket.versions(self._folder)
        return {name: version for name, version in found.items() if "/" not in name}

    def read(self, name: str, start: int, stop: int) -> bytes:
        """See `Files`."""
        with told(self.where):
            return self._bucket.read_range(f"{self._folder}/{name}", start, min(stop, self.sizes()[name]))

    def copy(self, names: list[str], folder: Path) -> None:
        """See `Remote`."""
        with told(self.where):
            self._bucket.download(self._folder, names, folder)


def remote_of(name: str, revision: str | None, where: str) -> Remote:
    """The files behind a name that is no folder of a node."""
    if name.startswith("s3://"):
        return BucketFiles(name, where)
    return HubFiles(name, revision, where)


def wanted(sizes: dict[str, int]) -> list[str]:
    """Names of the files that are copied, sorted."""
    return sorted(name for name in sizes if WANTED.fullmatch(name))
