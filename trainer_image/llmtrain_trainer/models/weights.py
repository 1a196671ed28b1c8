"""Single tensors of a Hugging Face folder, without reading the rest."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from ..errors import ConfigError
from ..files import stays_inside

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


def _require_inside(folder: Path, files: dict[str, str]) -> None:
    for name in files.values():
        if not stays_inside(name):
            raise ConfigError(
                f"{folder / INDEX} names {name!r}, which is no file inside its folder",
                "do not use weights of a writer that is not trusted",
            )


class Weights:
    """The tensors of a folder by name, from one file or from several with an index."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = folder / INDEX
        self._files: dict[str, str] | None = None
        if index.exists():
            self._files = json.loads(index.read_text())["weight_map"]
            _require_inside(folder, self._files)

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
        if self._files is not None:
            return sorted(self._files)
        with safe_open(self.folder / SINGLE, "pt") as tensors:
            return sorted(tensors.keys())

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one tensor, of which nothing else is read."""
        with safe_open(self.folder / self._file(name), "pt") as tensors:
            return tuple(tensors.get_slice(name).get_shape())

    def _file(self, name: str) -> str:
        return self._files[name] if self._files is not None else SINGLE

    def read(self, name: str) -> torch.Tensor:
        """One tensor.

        Raises:
            KeyError: the folder has none of that name.
        """
        file = self._file(name)
        with safe_open(self.folder / file, "pt") as tensors:
            if name not in tensors.keys():  # noqa: SIM118 (not a dictionary)
                raise KeyError(f"{self.folder / file} has no tensor {name}")
            found: torch.Tensor = tensors.get_tensor(name)
            return found
