"""One node's containerd, asked through `ctr`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

from barecluster.console import ClusterError
from barecluster.settings import Node, Settings
from barecluster.sharing import layer_folders
from barecluster.shell import attempt, run

UNPACK_ATTEMPTS = 5
GONE = "does not exist"


def unnamed(images: Mapping[str, str]) -> list[str]:
    """Of the digests of manifests by image name, the names that are but a hash of what no other name has.

    The kubelet's interface gives every image such a name beside its own, and keeps it when that moves on.
    """
    named = {digest for name, digest in images.items() if not name.startswith("sha256:")}
    return [name for name, digest in images.items() if digest not in named]


class Containerd:
    """The images, containers and tasks of the namespace that the kubelet uses."""

    def __init__(self, settings: Settings, node: Node) -> None:
        self.node = node
        self._ctr = (str(settings.bin / "ctr"), "-a", str(node.socket), "-n", "k8s.io")

    def answers(self) -> bool:
        """True when the server is up."""
        return attempt(*self._ctr, "version", timeout=5) is not None

    def images(self) -> dict[str, str]:
        """Digest of the manifest by image name."""
        rows = [line.split() for line in run(*self._ctr, "images", "ls").splitlines()[1:]]
        return {row[0]: next(word for word in row if word.startswith("sha256:")) for row in rows}

    def blobs(self) -> set[str]:
        """The digests of all content that is here."""
        return set(run(*self._ctr, "content", "ls", "-q").split())

    def import_archive(self, archive: Path) -> None:
        """Take in an OCI archive."""
        run(*self._ctr, "images", "import", "--local", archive)

    def import_stream(self, write: Callable[[IO[bytes]], None]) -> None:
        """Take in an OCI archive that `write` makes on the fly; its layers are not unpacked yet."""
        words = (*self._ctr, "images", "import", "--local", "--no-unpack", "-")
        child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert child.stdin is not None
        assert child.stderr is not None
        try:
            with child.stdin as pipe:
                write(pipe)
        except BrokenPipeError:
            pass  # ctr gave up: its own words follow
        said = child.stderr.read().decode(errors="replace")
        child.stderr.close()
        if child.wait(timeout=300):
            raise ClusterError(f"containerd did not take the image: {said.strip()}")

    def unpack(self, manifest: str) -> None:
        """Unpack the layers of the image with this manifest; those that are unpacked stay.

        containerd may be removing the layers of an image that just lost its name, and with them some that
        the new one was to stand on. They are then unpacked anew.
        """
        for left in reversed(range(UNPACK_ATTEMPTS)):
            try:
                run(*self._ctr, "snapshots", "unpack", manifest, timeout=900)
                return
            except ClusterError as error:
                if not left or GONE not in str(error):
                    raise

    def remove_unnamed(self) -> None:
        """Remove the images that a newer one took the name of, with the layers that only they used."""
        if names := unnamed(self.images()):
            run(*self._ctr, "images", "rm", "--sync", *names, timeout=300)

    def layers(self, chain: str) -> list[Path]:
        """The folders of the unpacked layers of the snapshot with this chain identity, the topmost first."""
        snapshots, view = (*self._ctr, "snapshots"), f"llmtrain-{chain}"
        attempt(*snapshots, "rm", view)  # one that an interrupted command left
        # one call: nothing holds a view, so that containerd may remove it at any time
        mount = attempt(*snapshots, "view", "--target", "/nowhere", view, chain)
        attempt(*snapshots, "rm", view)
        return layer_folders(mount) if mount is not None else []

    def remove_all(self) -> None:
        """Remove every container with its task and snapshot; images stay. The processes must be dead."""
        if tasks := run(*self._ctr, "tasks", "ls", "-q").split():
            attempt(*self._ctr, "tasks", "rm", "-f", *tasks, timeout=60)
        if containers := run(*self._ctr, "containers", "ls", "-q").split():
            attempt(*self._ctr, "containers", "rm", *containers, timeout=60)
