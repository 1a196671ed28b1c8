"""An adapter of a sweep by its name: what its router file says of it, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from llmtrain_api.sweeps.router import FILE, RoutedAdapter, Router

from ..errors import ConfigError
from ..files import read_json, sha256

CONFIG, WEIGHTS = "config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class Routed:
    """What is opened.

    Attributes:
        base: folder of the frozen weights.
        adapter: folder of the adapter.
        words: folder of the tokenizer.
    """

    base: Path
    adapter: Path
    words: Path


def routed(folder: Path, name: str, base: Path | None) -> Routed:
    """The adapter of that name.

    Args:
        folder: with the router file: the output of a sweep of adapters.
        name: of the adapter.
        base: where the base lies, if it is not where the file says.

    Raises:
        ConfigError: it may not be used, or is not here.
    """
    router = _read(folder)
    found = _named(router, name, folder)
    adapter = folder / found.path
    if not (adapter / WEIGHTS).is_file():
        raise ConfigError(f"adapter {name} lies at {found.path}, which is not in {folder}", "copy it there")
    if sha256(adapter / WEIGHTS) != found.sha256:
        raise ConfigError(
            f"{adapter / WEIGHTS} is not the file that {folder / FILE} was written for",
            "run the sweep again, which writes the router file anew",
        )
    return Routed(base or _base(router, folder), adapter, adapter.parent)


def _read(folder: Path) -> Router:
    try:
        return Router.model_validate(read_json(folder / FILE) or {})
    except ValidationError as error:
        raise ConfigError(
            f"{folder} has no {FILE} that can be read",
            "--adapter takes a name from the output folder of a sweep of adapters",
        ) from error


def _named(router: Router, name: str, folder: Path) -> RoutedAdapter:
    found = next((one for one in router.adapters if one.name == name), None)
    if found is not None:
        return found
    for failed in router.failed:
        if failed.name == name:
            raise ConfigError(f"adapter {name} was not trained: {failed.reason}", "train it again")
    if name in router.waiting:
        raise ConfigError(f"adapter {name} is not trained yet", "wait for the end of its job")
    there = ", ".join(one.name for one in router.adapters) or "none yet"
    raise ConfigError(f"{folder} has no adapter {name}", f"there are: {there}")


def _base(router: Router, folder: Path) -> Path:
    assert router.base is not None, "an adapter is trained beside one"
    told = router.base
    if told.path is not None and (folder / told.path / CONFIG).is_file():
        return folder / told.path
    commit = f" at revision {told.revision}" if told.revision else ""
    raise ConfigError(
        f"the base {told.name}{commit} is not beside {folder}", "say where its folder is: --base FOLDER"
    )
