"""Sending images from buildah's store to the nodes: only the layers that a node lacks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from barecluster import oci, sharing
from barecluster.console import ClusterError, say, step
from barecluster.containerd import Containerd
from barecluster.lifecycle import is_node_off, is_node_up, processes_of
from barecluster.settings import Node, Settings
from barecluster.shell import run
from barecluster.store import Store


def load(settings: Settings, images: Iterable[str]) -> None:
    """Have each image on every node."""
    nodes = _reachable(settings)
    store, layout = Store(settings.cache), Layout(settings.cache / "images" / "oci")
    with store.locked():
        for image in images:
            with step(f"load {image}"):
                _load(settings, store, layout, image, nodes)
        layout.prune()


def _load(settings: Settings, store: Store, layout: Layout, image: str, nodes: list[Node]) -> None:
    """One node after the other, archives before unpacked files: until they are shared, each needs room."""
    descriptor = layout.take(store, image)
    chain = sharing.chain_id(layout.diff_ids(descriptor))
    places = [store.layers(store.image_id(image) or "")]
    for number, node in enumerate(nodes, 1):
        client = Containerd(settings, node)
        was_sent, freed = _send(layout, image, descriptor, client), 0
        if was_sent:
            freed += sharing.share_blobs(layout.paths(descriptor), nodes[:number])
        # of one that is there, too: an interrupted load may have left it packed
        client.unpack(descriptor["digest"])
        if was_sent:
            client.remove_unnamed()
        places.append(client.layers(chain))
        if was_sent:
            freed += sharing.share_layers(places)
            say(f"  {node.name}: {freed / 1e6:.1f} MB of it shared with what is here already")


def _reachable(settings: Settings) -> list[Node]:
    there = [node for node in settings.known_nodes() if is_node_up(settings, node)]
    off = [node for node in there if is_node_off(processes_of(settings), node)]
    for node in off:
        say(f"{node.name} is without power: nothing is sent to it")
    if len(off) == len(there):
        raise ClusterError(
            f"no node of {settings.name!r} is up: `hack/cluster --name {settings.name} up` first"
        )
    return [node for node in there if node not in off]


def _send(layout: Layout, image: str, descriptor: dict[str, Any], client: Containerd) -> bool:
    if client.images().get(image) == descriptor["digest"]:
        say(f"  {client.node.name} has it")
        return False
    here = client.blobs()
    missing = [blob for blob in layout.blobs(descriptor) if blob not in here]
    client.import_stream(layout.writer(image, descriptor, missing))
    say(f"  {client.node.name}: {len(missing)} blobs, {layout.size(missing) / 1e6:.1f} MB sent")
    return True


class Layout:
    """A folder in OCI layout between the store and the nodes: its layers keep their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, store: Store, image: str) -> dict[str, Any]:
        """Copy the image here and return its manifest's descriptor; known layers are not copied again."""
        source_id = store.image_id(image)
        if source_id is None:
            raise ClusterError(f"no image {image}: `hack/cluster images` builds it")
        marker = self._folder.with_name(f"{image.replace('/', '_')}.taken")
        if not (marker.exists() and marker.read_text() == source_id and self._find(image)):
            self._folder.mkdir(parents=True, exist_ok=True)
            target = f"oci:{self._folder}:{image}"
            words = ("skopeo", "copy", "-q", "--insecure-policy", "--dest-oci-accept-uncompressed-layers")
            run(*words, store.reference(image), target, timeout=900)
            marker.write_text(source_id)
        return self._find(image) or {}

    def blobs(self, descriptor: dict[str, Any]) -> list[str]:
        """The digests of the manifest, the configuration and the layers."""
        manifest = json.loads(self._path(descriptor["digest"]).read_text())
        parts = [manifest["config"], *manifest["layers"]]
        return [descriptor["digest"], *dict.fromkeys(part["digest"] for part in parts)]

    def paths(self, descriptor: dict[str, Any]) -> list[Path]:
        """The files of the same."""
        return [self._path(blob) for blob in self.blobs(descriptor)]

    def diff_ids(self, descriptor: dict[str, Any]) -> list[str]:
        """The identities of the unpacked layers, the lowest first."""
        manifest = json.loads(self._path(descriptor["digest"]).read_text())
        found: list[str] = json.loads(self._path(manifest["config"]["digest"]).read_text())["rootfs"][
            "diff_ids"
        ]
        return found

    def size(self, blobs: Iterable[str]) -> int:
        """The bytes of these blobs."""
        return sum(self._path(blob).stat().st_size for blob in blobs)

    def writer(self, image: str, descriptor: dict[str, Any], blobs: Iterable[str]) -> Any:
        """What writes an archive of the image that holds only these blobs: the taker has the others."""
        bare = {key: value for key, value in descriptor.items() if key != "annotations"}
        paths = [self._path(blob) for blob in blobs]

        def write(stream: IO[bytes]) -> None:
            oci.write_archive(stream, oci.index(image, bare), paths)

        return write

    def prune(self) -> None:
        """Remove the images that lost their name to a newer one, and the layers that no image here uses."""
        path = self._folder / "index.json"
        top = json.loads(path.read_text())
        top["manifests"] = [one for one in self._index() if oci.NAME in one.get("annotations", {})]
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(top))
        partial.rename(path)
        used = {blob for descriptor in self._index() for blob in self.blobs(descriptor)}
        for path in (self._folder / "blobs" / "sha256").iterdir():
            if f"sha256:{path.name}" not in used:
                path.unlink()

    def _find(self, image: str) -> dict[str, Any] | None:
        named = (one for one in self._index() if one.get("annotations", {}).get(oci.NAME) == image)
        return next(named, None)

    def _index(self) -> list[dict[str, Any]]:
        path = self._folder / "index.json"
        found: list[dict[str, Any]] = json.loads(path.read_text())["manifests"] if path.exists() else []
        return found

    def _path(self, blob: str) -> Path:
        return self._folder / "blobs" / "sha256" / blob.partition(":")[2]
