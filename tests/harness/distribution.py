"""The registry of the distribution project, built from its Go module, as a process beside a test."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from barecluster import build
from barecluster.settings import cache_root
from harness.ports import free_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
USER, PASSWORD = "writer", "s3cret-pass"
BCRYPT = "$2b$05$4EhKePhqqqDTyDmeLz3i4elkAWMW4KP3SFyAY0zwfWdsunR5D4wc."
"""Of the password: the registry reads no other kind."""
DEADLINE = 60.0


@dataclass
class Distribution:
    """The server.

    Attributes:
        host: with its port.
        folder: where it keeps what it has.
        log: what it says.
    """

    host: str
    folder: Path
    log: Path

    def get(self, path: str) -> bytes:
        """What it answers to its user."""
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Accept": MANIFEST}
        with urlopen(Request(f"http://{self.host}/v2/{path}", headers=headers), timeout=30) as answer:
            found: bytes = answer.read()
            return found

    def manifest(self, repository: str, tag: str) -> dict[str, Any]:
        """What a tag names."""
        found: dict[str, Any] = json.loads(self.get(f"{repository}/manifests/{tag}"))
        return found

    def files(self, repository: str, tag: str) -> dict[str, bytes]:
        """What a runtime that mounts the image has."""
        found: dict[str, bytes] = {}
        for layer in self.manifest(repository, tag)["layers"]:
            content = self.get(f"{repository}/blobs/{layer['digest']}")
            assert f"sha256:{hashlib.sha256(content).hexdigest()}" == layer["digest"]
            with tarfile.open(fileobj=BytesIO(content), mode="r:") as tar:
                found |= {one.name: file.read() for one in tar if (file := tar.extractfile(one))}
        return found


@contextmanager
def distribution(folder: Path) -> Iterator[Distribution]:
    """A registry with one user who may push, until the block ends."""
    [programs] = build.ensure(["registry"], cache_root())
    folder.mkdir(parents=True)
    host = f"127.0.0.1:{free_port()}"
    (folder / "users").write_text(f"{USER}:{BCRYPT}\n")
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": host, "secret": "of a test"},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "users")}},
    }
    (folder / "config.json").write_text(json.dumps(config))
    made = Distribution(host, folder, folder / "log")
    with made.log.open("wb") as log:
        words = [str(programs / "registry"), "serve", str(folder / "config.json")]
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await(made, process)
            yield made
        finally:
            process.terminate()
            process.wait()


def _await(made: Distribution, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        try:
            urlopen(f"http://{made.host}/v2/", timeout=5)
        except HTTPError:
            return  # it asks for a password
        except URLError:
            time.sleep(0.1)
    raise AssertionError(f"the registry does not answer: {made.log.read_text()}")
