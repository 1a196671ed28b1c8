"""What a real job tells of the push of its export."""

from __future__ import annotations

import json
from typing import Any

from .launches import Launch


def told_of_push(launch: Launch, secret: str) -> dict[str, Any]:
    """The job to its end; what its last words say of the push. The secret is in nothing that it leaves."""
    try:
        assert launch.wait() == 0, launch.text()
        for file in launch.output.root.rglob("*"):
            if file.is_file() and file.suffix in (".json", ".log", ".jsonl", ".md"):
                assert secret not in file.read_text(errors="replace"), f"{file} has the secret"
        assert secret not in launch.text()
        told: dict[str, Any] = launch.message()["results"]["published"]
        assert json.loads(launch.output.results.read_text())["published"] == told
        return told
    finally:
        launch.end()
