"""What is a mistake in a sweep of adapters, beside what its schema says."""

from __future__ import annotations

import json
from typing import Any

from ..schema.model import BuiltinModel, Weights
from ..schema.sweep import SweepSpec

MAX_BYTES = 256 * 1024
"""Of all adapters as JSON. An object of the API has 1.5 MB at most, and what came of each needs room."""


def adapter_mistakes(spec: SweepSpec) -> list[str]:
    """One sentence a mistake; nothing for a sweep that tries values."""
    if not spec.adapters:
        return []
    found = _base(_section(spec.job, "model"))
    output = _section(spec.job, "output")
    if output.get("merged"):
        found.append(
            "spec.job.output.merged: true would write the base once for each adapter; remove it, they are "
            "exported alone"
        )
    if spec.job.get("entrypoint") is not None:
        found.append("spec.job.entrypoint: a program of your own exports no adapter; remove it, or adapters")
    found += [
        f"spec.adapters[{number}].dataset.chatTemplate: one tokenizer serves all adapters; set it in "
        "job.dataset"
        for number, one in enumerate(spec.adapters)
        if "chatTemplate" in one.dataset
    ]
    size = len(json.dumps([one.to_json() for one in spec.adapters]).encode())
    if size > MAX_BYTES:
        found.append(
            f"spec.adapters: {size} bytes as JSON are more than {MAX_BYTES}; say what they share in "
            "job.dataset, or make two sweeps"
        )
    return found


def _base(model: dict[str, Any]) -> list[str]:
    if not isinstance(model.get("adapter"), dict):
        return [
            "spec.job.model.adapter: is required with spec.adapters; set it, such as {rank: 16, alpha: 32}"
        ]
    name = model.get("name")
    if name in list(BuiltinModel):
        return [
            f"spec.job.model.name: {name} is made anew for each dataset, with a tokenizer of its own, and "
            "adapters need one base; train it by a job, and name its export"
        ]
    if model.get("weights") == Weights.RANDOM:
        return ["spec.job.model.weights: random weights are no base that adapters are served over; remove it"]
    return []


def _section(job: dict[str, Any], name: str) -> dict[str, Any]:
    found = job.get(name)
    return found if isinstance(found, dict) else {}
