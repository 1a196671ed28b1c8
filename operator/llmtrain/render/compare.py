"""``llmtrain diff A B ...``: where jobs differ, in what they ask for, what that came to, what came out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llmtrain_api import Job

Rows = list[tuple[str, ...]]
ABSENT = "-"


def differences(*jobs: Job) -> dict[str, Rows]:
    """Paths with the value of each job, by part (spec, resolved, results, ...); what is equal is left out."""
    told = [job.status.to_json() for job in jobs]
    parts: dict[str, list[dict[str, Any] | None]] = {
        "spec": [job.spec for job in jobs],
        "resolved": [status.get("resolved") for status in told],
        "progress": [_figures(status) for status in told],
        "results": [status.get("results") for status in told],
        "usage": [status.get("usage") for status in told],
        "failure": [_failure(status) for status in told],
    }
    found = {name: _rows([one or {} for one in each]) for name, each in parts.items()}
    return {name: rows for name, rows in found.items() if rows}


def _figures(status: dict[str, Any]) -> dict[str, Any]:
    """Of jobs under way: figures, without the texts and moments that always differ."""
    kept = (
        "step",
        "totalSteps",
        "loss",
        "fairnessPenalty",
        "evalLoss",
        "perplexity",
        "tokensPerSecond",
        "mfu",
    )
    return {name: value for name, value in status.get("progress", {}).items() if name in kept}


def _failure(status: dict[str, Any]) -> dict[str, Any]:
    kept = ("class", "reason", "message")
    return {name: value for name, value in status.get("failure", {}).items() if name in kept}


def _rows(parts: list[dict[str, Any]]) -> Rows:
    told = [dict(_flat(part, "")) for part in parts]
    values = {path: [one.get(path, ABSENT) for one in told] for path in sorted(set[str]().union(*told))}
    return [
        (path, *map(_shown, each)) for path, each in values.items() if any(one != each[0] for one in each[1:])
    ]


def _flat(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        # pairs of sentences are compared by category and sets by name, also where one job has more of them
        called = "name" if path.rpartition(".")[2] == "datasets" else "category"
        for number, inner in enumerate(value):
            named = {key: one for key, one in inner.items() if key != called}
            yield from _flat(named, f"{path}[{inner.get(called, number)}]")
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
