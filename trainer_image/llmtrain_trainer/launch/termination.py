"""The termination message: what the kubelet keeps of a pod's last words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from llmtrain_api import TerminationMessage
from llmtrain_api.messages import TERMINATION_LIMIT
from llmtrain_api.names import ENV_TERMINATION_LOG, TERMINATION_LOG

from ..records import characters

_LONGEST = {"message": 1024, "hint": 512, "logTail": 2048}


def encode(message: TerminationMessage) -> bytes:
    """JSON that fits: texts are cut to their limits, then the least needed ones until all fits."""
    fields = message.to_json()
    for name, limit in _LONGEST.items():
        if name in fields:
            fields[name] = _cut(fields[name], limit, keep_end=name == "logTail")
    limits: tuple[int | None, ...] = (1024, 512, 128, 0, None)
    for shorter in limits:
        body = json.dumps(fields).encode()
        if len(body) <= TERMINATION_LIMIT:
            return body
        if shorter is not None:
            _shorten(fields, shorter)
    return json.dumps({k: fields[k] for k in ("version", "outcome") if k in fields}).encode()


def _shorten(fields: dict[str, Any], limit: int) -> None:
    """Cut texts to a limit; below 512 also tables, which results.json has."""
    results: dict[str, Any] = fields.get("results", {})
    data = results.get("data", {})
    if "sample" in results:
        results["sample"] = results["sample"][:limit]
    if limit < 512:
        results.pop("fairness", None)
        for one in results.get("datasets", []):  # how each compares; its loss stays while there is room
            one.pop("answers", None)
            one.pop("scores", None)
    if not limit:
        results.pop("tasks", None)
        results.pop("datasets", None)
    if "samples" in data:
        data["samples"] = [one[: limit // 16] for one in data["samples"]] if limit >= 512 else []
    if "logTail" in fields:
        fields["logTail"] = _cut(fields["logTail"], limit, keep_end=True)
    fields["message"] = _cut(fields.get("message", ""), max(limit, 256))


def _cut(text: Any, limit: int, *, keep_end: bool = False) -> str:
    value = characters(str(text))
    if not limit:
        return ""
    return value[-limit:] if keep_end else value[:limit]


def write_termination(message: TerminationMessage) -> None:
    """Write to the file that the pod names, or where the kubelet looks by default, if it exists."""
    named = os.environ.get(ENV_TERMINATION_LOG)
    path = Path(named or TERMINATION_LOG)
    if named or path.exists():
        path.write_bytes(encode(message))
