"""Jobs whose program is a few lines of Python and no torch: a test may have many of them at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.cluster import Namespace, Object, shared_volume, wait_for
from testlayers import TRAINER_IMAGE

SMALL = {"cpu": "100m", "memory": "512Mi"}
UNTIL_TOLD = """
import os, pathlib, time
told = pathlib.Path(os.environ["LLMTRAIN_OUTPUT"], "go")
while not told.exists():
    time.sleep(0.1)
"""
"""Run until the test says that it may end."""


def light_manifest(name: str, program: str, nodes: int = 1, **spec: Any) -> Object:
    """A job that runs this Python text once on each node."""
    return {
        "apiVersion": "llmtrain.dev/v1alpha1",
        "kind": "LLMTrainingJob",
        "metadata": {"name": name},
        "spec": {
            "image": TRAINER_IMAGE,
            "entrypoint": {"command": ["python3", "-c", program], "starter": "none"},
            "nodes": nodes,
            "resources": SMALL,
            "output": {"uri": f"pvc://checkpoints/{name}"},
            **spec,
        },
    }


def folder_of(namespace: Namespace, name: str) -> Path:
    """The folder that all attempts of a program share, as the test sees it."""
    return shared_volume(namespace.cluster) / namespace.name / name / "program"


def tell(namespace: Namespace, *names: str) -> None:
    """Programs that run until they are told may end. Their launchers make the folder."""
    for name in names:
        folder = folder_of(namespace, name)
        wait_for(f"{name} has its folder", folder.exists, 60)
        (folder / "go").touch()
