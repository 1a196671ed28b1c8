"""A sweep of this machine in a file: what it tries and what has come of it, for whoever looks at it."""

from __future__ import annotations

import json
from pathlib import Path

from llmtrain_api.names import API_VERSION, SWEEP_KIND
from llmtrain_api.schema.status.sweep import SweepStatus

from ..kube.api import Object
from .saved_jobs import FOLDER, key_of, replace_json


def sweep_file(runs: Path, namespace: str, name: str) -> Path:
    """Where a sweep is kept. No job's file has that name: theirs have no tilde."""
    return runs / FOLDER / f"sweep~{Path(key_of(namespace, name)).name}.json"


def save_sweep(runs: Path, namespace: str, name: str, spec: Object, status: SweepStatus) -> None:
    """Keep a sweep as it is now."""
    file = sweep_file(runs, namespace, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    meta = {"name": name, "namespace": namespace}
    found = {"apiVersion": API_VERSION, "kind": SWEEP_KIND, "metadata": meta, "spec": spec}
    replace_json(file, found | {"status": status.to_json()})


def load_sweep(runs: Path, namespace: str, name: str) -> Object | None:
    """A sweep as it was saved last; None where nothing can be read."""
    try:
        found = json.loads(sweep_file(runs, namespace, name).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("metadata"), dict) else None
