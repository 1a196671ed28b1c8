"""A server of MLflow as a process beside a test, and the library that a trainer's image may have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from barecluster.locks import held
from barecluster.settings import cache_root
from harness.cluster import ROOT
from harness.ports import free_port

VERSION = "3.17.2"
DEADLINE = 180.0
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true"}


@dataclass
class MlflowServer:
    """The server.

    Attributes:
        uri: its address.
        folder: where it keeps what it has.
        log: what it says.
    """

    uri: str
    folder: Path
    log: Path

    def versions(self, model: str) -> list[dict[str, Any]]:
        """Of a registered model."""
        url = f"{self.uri}/api/2.0/mlflow/model-versions/search?filter=name%3D%27{model}%27"
        with urlopen(url, timeout=30) as answer:
            found: list[dict[str, Any]] = json.load(answer).get("model_versions", [])
            return found

    def files(self, source: str) -> dict[str, bytes]:
        """What a version's source has."""
        folder = self.folder / "files" / source.removeprefix("mlflow-artifacts:/")
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }


def library() -> Path:
    """A folder with the library, at the versions of what else the trainer's image has."""
    folder = cache_root() / f"mlflow-skinny-{VERSION}"
    words = [
        "--target",
        f"{folder}.partial",
        "-c",
        str(ROOT / "constraints.txt"),
        f"mlflow-skinny=={VERSION}",
    ]
    _once(folder, lambda: _pip(sys.executable, *words))
    return folder


def _program() -> Path:
    """The server, in an environment of its own: it is ten times the library. It runs where it was made."""
    folder = cache_root() / f"mlflow-{VERSION}"

    def make() -> None:
        subprocess.run([sys.executable, "-m", "venv", f"{folder}.partial"], check=True)
        _pip(f"{folder}.partial/bin/python", f"mlflow=={VERSION}")

    _once(folder, make)
    return folder / "bin" / "python"


def _once(folder: Path, make: Callable[[], None]) -> None:
    with held(folder.with_name(f"{folder.name}.lock")):
        if not folder.exists():
            partial = Path(f"{folder}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            make()
            partial.rename(folder)


def _pip(python: str, *words: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([python, "-m", "pip", "install", *quiet, *words], check=True)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """A server that keeps its records in SQLite and its files in a folder, until the block ends."""
    program, port = _program(), free_port()
    folder.mkdir(parents=True)
    made = MlflowServer(f"http://127.0.0.1:{port}", folder, folder / "log")
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", f"{folder}/files"]
    with made.log.open("wb") as log:
        process = subprocess.Popen(
            [str(program), *words],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | QUIET,
            start_new_session=True,
        )
        try:
            _await(made, process)
            yield made
        finally:
            os.killpg(process.pid, 15)
            process.wait()


def _await(made: MlflowServer, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until and process.poll() is None:
        try:
            urlopen(f"{made.uri}/health", timeout=5).close()
            return
        except (URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"MLflow does not answer: {made.log.read_text()}")
