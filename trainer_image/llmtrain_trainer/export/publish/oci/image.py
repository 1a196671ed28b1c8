"""An export as an image: what container runtimes mount, and KServe and vLLM serve from.

Files lie below ``models/``. Each file of weights is a layer of its own, so that one that the registry has is
not sent again, and the rest is one layer. Layers are tar files as they are, for weights do not get smaller.
Nothing in them tells of a time, a user or a machine: the same export is the same digest.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ROOT = "models"
"""Where KServe looks for a model in an image."""
WEIGHTS = ".safetensors"
MOST_LAYERS = 64
"""Layers of weights: overlayfs stacks no more than about two hundred, and some runtimes fewer."""
CHUNK = 1 << 20
END = b"\0" * 2 * tarfile.BLOCKSIZE


class Blob:
    """Bytes that are named by their digest, and can be read again and again without being kept."""

    media_type: str
    size: int

    def chunks(self) -> Iterator[bytes]:
        """All of it, in pieces."""
        raise NotImplementedError

    @cached_property
    def digest(self) -> str:
        """Its name."""
        found = hashlib.sha256()
        for chunk in self.chunks():
            found.update(chunk)
        return f"sha256:{found.hexdigest()}"

    @property
    def descriptor(self) -> dict[str, Any]:
        """How a manifest names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class Document(Blob):
    """A small blob of JSON."""

    def __init__(self, media_type: str, content: Mapping[str, Any]) -> None:
        self.media_type = media_type
        self.data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        self.size = len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """All of it, in one piece."""
        yield self.data


class Layer(Blob):
    """A tar file that is made while it is read.

    Args:
        folder: of the export.
        files: paths in it.
    """

    media_type = LAYER

    def __init__(self, folder: Path, files: Sequence[Path]) -> None:
        folders = sorted({above for path in files for above in path.parents if above.name})
        self._heads = [_head(ROOT, None), *(_head(f"{ROOT}/{one.as_posix()}", None) for one in folders)]
        self._files = [_File(folder / path, f"{ROOT}/{path.as_posix()}") for path in files]
        self.size = sum(map(len, self._heads)) + sum(one.size for one in self._files) + len(END)

    def chunks(self) -> Iterator[bytes]:
        """The whole tar file.

        Raises:
            ValueError: a file is longer or shorter than it was.
        """
        yield from self._heads
        for file in self._files:
            yield from file.chunks()
        yield END


class _File:
    """A file as a tar file has it."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._length = path, path.stat().st_size
        self._head, self._padding = _head(name, self._length), -self._length % tarfile.BLOCKSIZE
        self.size = len(self._head) + self._length + self._padding

    def chunks(self) -> Iterator[bytes]:
        yield self._head
        left = self._length
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        if left:
            raise ValueError(f"{self._path.name} has changed while it was read")
        yield b"\0" * self._padding


def _head(name: str, size: int | None) -> bytes:
    """The header of a file, or of a folder; anybody may read both."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = (tarfile.DIRTYPE, 0o755) if size is None else (tarfile.REGTYPE, 0o644)
    info.size = size or 0
    return info.tobuf(tarfile.PAX_FORMAT)


@dataclass(frozen=True)
class Image:
    """What a registry gets.

    Attributes:
        layers: with the files.
        config: of the image.
        manifest: that names all of it: the image is there once the registry has this.
    """

    layers: Sequence[Layer]
    config: Document
    manifest: Document


def image_of(folder: Path, lineage: Mapping[str, str], annotations: Mapping[str, str]) -> Image:
    """The image of an export. Reads all of it, for the digests.

    Args:
        folder: of the export.
        lineage: labels that tell where the model comes from.
        annotations: what else the manifest says.
    """
    layers = layers_of(folder)
    said = {**annotations, **lineage}
    config = Document(
        CONFIG,
        {
            # an image must name a machine; files are for any, and runtimes take an only image as it is
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": said},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        },
    )
    manifest = Document(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor,
            "layers": [layer.descriptor for layer in layers],
            "annotations": said,
        },
    )
    return Image(layers, config, manifest)


def layers_of(folder: Path) -> list[Layer]:
    """All files of the folder in layers: the weights, then the rest, which is small and differs most."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    weights = [path for path in files if path.suffix == WEIGHTS]
    width = -(-len(weights) // MOST_LAYERS) or 1
    parts = [weights[at : at + width] for at in range(0, len(weights), width)]
    rest = [path for path in files if path.suffix != WEIGHTS]
    return [Layer(folder, part) for part in (*parts, rest) if part]
