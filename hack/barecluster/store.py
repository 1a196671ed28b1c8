"""The folder where buildah keeps images: the project's own, apart from what else the machine builds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from barecluster.locks import held
from barecluster.shell import attempt, run


def chain(top: str | None, parents: Mapping[str, str | None]) -> Iterator[str]:
    """A layer and all below it, the topmost first."""
    while top:
        yield top
        top = parents.get(top)


class Store:
    """Images in the cache, by tag."""

    def __init__(self, cache: Path) -> None:
        self._root, self._run = cache / "images" / "store", Path("/run/llmtrain-images")

    def locked(self) -> AbstractContextManager[None]:
        """One build or transfer at a time."""
        return held(self._root.with_name("store.lock"))

    @property
    def buildah(self) -> tuple[str, ...]:
        """The command with the store's place; isolation chroot needs no bridge and no nested runtime."""
        return (
            "buildah",
            "--root",
            str(self._root),
            "--runroot",
            str(self._run),
            "--storage-driver",
            "overlay",
        )

    def reference(self, tag: str) -> str:
        """How skopeo names an image of this store."""
        return f"containers-storage:[overlay@{self._root}+{self._run}]{tag}"

    def layers(self, image_id: str) -> list[Path]:
        """The folders of the image's unpacked layers, the topmost first."""
        images = json.loads((self._root / "overlay-images" / "images.json").read_text())
        known = json.loads((self._root / "overlay-layers" / "layers.json").read_text())
        parents = {layer["id"]: layer.get("parent") for layer in known}
        top = next((one["layer"] for one in images if one["id"] == image_id.removeprefix("sha256:")), None)
        return [self._root / "overlay" / layer / "diff" for layer in chain(top, parents)]

    def remove(self, image_id: str) -> None:
        """Remove an image that has no name any more; layers that others use stay, and so does one in use."""
        attempt(*self.buildah, "rmi", image_id.removeprefix("sha256:"), timeout=300)

    def listing(self) -> dict[str, tuple[str, str]]:
        """Identity and manifest digest of each image that has a tag, by its tag."""
        form = "{{.Name}}:{{.Tag}} {{.ID}} {{.Digest}}"
        rows = run(*self.buildah, "images", "--format", form, "--no-trunc").splitlines()
        return {name: (identity, digest) for name, identity, digest in map(str.split, rows)}

    def image_id(self, tag: str) -> str | None:
        """The image's identity, None when there is none of this tag."""
        found = self.listing().get(tag)
        return None if found is None else found[0]
