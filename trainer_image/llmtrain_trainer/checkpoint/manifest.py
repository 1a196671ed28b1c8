"""``manifest.json`` of a checkpoint, and which one a new attempt starts from. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmtrain_api import Layout

from ..errors import ConfigError
from ..files import differing, read_json
from ..output import Output

MANIFEST = "manifest.json"
WEIGHTS = "weights"
"""Folder of the whole model's weights, which only the last checkpoint has."""

_FIELDS = {
    "data": "the prepared data (dataset.name, dataset.maxBytes, dataset.heldOutFraction)",
    "mixture": "dataset.mixture (names, weights, maxBytes)",
    "tokenizer": "the tokenizer (model.vocabSize, dataset)",
    "model": "the model's configuration (spec.model)",
    "sequenceLength": "training.sequenceLength",
    "globalBatchSize": "training.globalBatchSize",
    "seed": "training.seed",
    "precision": "training.precision",
}


def broken(folder: Path) -> str | None:
    """Why a checkpoint cannot be used, or None when every file is as its manifest says."""
    manifest = read_json(folder / MANIFEST)
    if manifest is None:
        return f"no readable {MANIFEST}"
    if not manifest.get("files"):
        return f"{MANIFEST} lists no files"
    return differing(folder, manifest["files"])


def complete(folder: Path) -> bool:
    """Whether every file is there with its size: what can be asked often, as nothing is read."""
    listed = (read_json(folder / MANIFEST) or {}).get("files")
    if not listed:
        return False
    try:
        return all((folder / name).stat().st_size == entry["size"] for name, entry in listed.items())
    except OSError:
        return False


def newest_good(output: Output, say: Callable[[int, str], None]) -> tuple[int, dict[str, Any]] | None:
    """The newest checkpoint that is whole, with its manifest.

    Args:
        output: where to look.
        say: told the step and the reason of each checkpoint that is passed over.
    """
    for step in output.committed():
        reason = broken(output.step(step))
        if reason is None:
            return step, read_json(output.step(step) / MANIFEST) or {}
        say(step, reason)
    return None


def run_state_of(folder: Path) -> dict[str, Any]:
    """What had been decided when a checkpoint was written; nothing in one of an older version."""
    kept: dict[str, Any] = (read_json(folder / MANIFEST) or {}).get("run_state", {})
    return kept


def require_same(
    manifest: dict[str, Any], fingerprints: dict[str, Any], *, weights_only: bool = False
) -> None:
    """Refuse to go on from a checkpoint that belongs to other data or another model.

    Args:
        manifest: of the checkpoint.
        fingerprints: of this job.
        weights_only: whether the optimizer starts anew, which may then be in another precision.

    Raises:
        ConfigError: naming everything that differs.
    """
    old: dict[str, Any] = manifest.get("fingerprints", {})
    free = ("precision",) if weights_only else ()
    different = [
        f"{_FIELDS.get(key, key)}: {_short(old.get(key))} in the checkpoint, {_short(value)} in this job"
        for key, value in fingerprints.items()
        if old.get(key) != value and key not in free
    ]
    if different:
        raise ConfigError(
            f"{_where(manifest)}: {'; '.join(different)}", "undo the change, or use another output.uri"
        )


def layout_of(manifest: dict[str, Any]) -> Layout:
    """The layout that a checkpoint was written in.

    Raises:
        ConfigError: the manifest does not tell, so that its files cannot be put together.
    """
    try:
        return Layout(**manifest["layout"])
    except (KeyError, TypeError):
        raise ConfigError(
            f"{_where(manifest)}: its {MANIFEST} tells no layout that this version knows",
            "use another output.uri, or the version that wrote it",
        ) from None


def _where(manifest: dict[str, Any]) -> str:
    return f"checkpoint of step {manifest.get('step')} cannot be resumed"


def _short(value: Any) -> str:
    return str(value)[:12]
