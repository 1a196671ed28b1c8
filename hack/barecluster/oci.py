"""Writing OCI image archives with the standard library. Only the given stream is written to."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

_INDEX, _MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"
_CONFIG, _LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"


def digest(data: bytes) -> str:
    """The content address."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def index(image: str, manifest: dict[str, Any]) -> bytes:
    """An index of one image, named so that containerd takes the name as it is."""
    named = {**manifest, "annotations": {NAME: image.rpartition(":")[2], _CONTAINERD_NAME: image}}
    return json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}).encode()


def write_archive(stream: IO[bytes], top: bytes, blobs: Iterable[bytes | Path]) -> None:
    """Write an archive: the index, then blobs, each given as bytes or as a file named by its hash."""
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(tar, "index.json", top)
        for blob in blobs:
            if isinstance(blob, Path):
                tar.add(blob, f"blobs/sha256/{blob.name}")
            else:
                _add(tar, f"blobs/sha256/{digest(blob).partition(':')[2]}", blob)


def single_program(image: str, program: bytes, path: str) -> tuple[bytes, list[bytes]]:
    """The index and blobs of an image that is one static program."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, path, program, 0o755)
    content = layer.getvalue()
    process = {"Entrypoint": [f"/{path}"], "User": "65535:65535"}
    layers = {"type": "layers", "diff_ids": [digest(content)]}
    config = json.dumps(
        {"architecture": _architecture(), "os": "linux", "config": process, "rootfs": layers}
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _descriptor(_CONFIG, config),
        "layers": [_descriptor(_LAYER, content)],
    }
    encoded = json.dumps(manifest).encode()
    return index(image, _descriptor(_MANIFEST, encoded)), [encoded, config, content]


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def _architecture() -> str:
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
