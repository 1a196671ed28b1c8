"""``llmtrain diff A B``: where two jobs differ, in what they ask for, what that came to, what came out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmtrain_api import Job

Rows = list[tuple[str, str, str]]
ABSENT = "-"


def differences(a: Job, b: Job) -> dict[str, Rows]:
    """Paths with the value of each, by part (spec, resolved, results, ...); what is equal is left out."""
    first, second = a.status.to_json(), b.status.to_json()
    parts = {
        "spec": (a.spec, b.spec),
        "resolved": (first.get("resolved"), second.get("resolved")),
        "progress": (_figures(first), _figures(second)),
        "results": (first.get("results"), second.get("results")),
        "usage": (first.get("usage"), second.get("usage")),
        "failure": (_failure(first), _failure(second)),
    }
    found = {name: _rows(one or {}, other or {}) for name, (one, other) in parts.items()}
    return {name: rows for name, rows in found.items() if rows}


def _figures(status: dict[str, Any]) -> dict[str, Any]:
    """Of two jobs under way: figures, without the texts and moments that always differ."""
    kept = ("step", "totalSteps", "loss", "evalLoss", "perplexity", "tokensPerSecond", "mfu")
    return {name: value for name, value in status.get("progress", {}).items() if name in kept}


def _failure(status: dict[str, Any]) -> dict[str, Any]:
    kept = ("class", "reason", "message")
    return {name: value for name, value in status.get("failure", {}).items() if name in kept}


def _rows(one: dict[str, Any], other: dict[str, Any]) -> Rows:
    before, after = dict(_flat(one, "")), dict(_flat(other, ""))
    return [
        (path, _shown(before.get(path, ABSENT)), _shown(after.get(path, ABSENT)))
        for path in sorted(before.keys() | after.keys())
        if before.get(path, ABSENT) != after.get(path, ABSENT)
    ]


def _flat(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{number}]")
    elif path:
        yield path, value


def _shown(value: object) -> str:
    return (
        f"{value:g}"
        if isinstance(value, float)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


def checkpoint_rows(job: Job) -> list[tuple[str, str, str]]:
    """Steps that are kept, newest first: step, what is known of it, and which attempts went on from it."""
    status = job.status
    steps = list(status.checkpoints or [])
    if status.checkpoint is not None and status.checkpoint.step not in steps:
        steps.insert(0, status.checkpoint.step)
    newest = status.checkpoint.step if status.checkpoint else None
    rows = []
    for step in steps:
        used = [str(one.number) for one in status.attempts if one.resumed_step == step]
        rows.append(
            (str(step), "newest" if step == newest else "", f"attempt {', '.join(used)}" if used else "")
        )
    return rows
