"""Specifications and job files that tests start from; manifests and what a cluster shows: `harness.jobs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.ports import free_port
from llmtrain_api import (
    JobFile,
    JobIdentity,
    JobSpec,
    Layout,
    ModelShape,
    ParallelismSpec,
    Rendezvous,
    layout_of,
    parse_spec,
    shape_of,
)

UID = "11111111-aaaa-4bbb-8ccc-000000000000"
LEAST: dict[str, Any] = {
    "model": {"name": "builtin://tiny-llama"},
    "dataset": {"name": "builtin://random-tokens"},
    "output": {"uri": "pvc://claim/run"},
}
"""What a job must say."""
QUICK: dict[str, Any] = {
    "model": {
        "name": "builtin://tiny-llama",
        "hiddenSize": 32,
        "numLayers": 2,
        "numHeads": 4,
        "numKvHeads": 2,
        "vocabSize": 512,
    },
    "dataset": {"name": "builtin://python-stdlib", "maxBytes": 400_000, "heldOutFraction": 0.2},
    "processesPerNode": 2,
    "training": {"maxSteps": 40, "globalBatchSize": 8, "microBatchSize": 4, "sequenceLength": 32},
    "checkpoint": {"everySteps": 10},
    "evaluation": {"everySteps": 0, "maxSequences": 64},
    "output": {"uri": "pvc://claim/run"},
}
"""Two ranks that train in seconds."""


def spec(**changes: dict[str, Any] | int) -> JobSpec:
    """`QUICK`, with ``changes`` merged into it section by section."""
    merged = dict(QUICK)
    for section, values in changes.items():
        merged[section] = {**merged.get(section, {}), **values} if isinstance(values, dict) else values
    return parse_spec(merged, strict=True)


def least_spec(**sections: Any) -> JobSpec:
    """`LEAST` with whole sections replaced or added."""
    return parse_spec(LEAST | sections, strict=True)


def unchecked_spec(**sections: Any) -> JobSpec:
    """As `least_spec`, but no rule between fields is applied."""
    return JobSpec.model_validate(LEAST | sections, extra="forbid")


def cut_as(asked: JobSpec, layout: Layout, **training: Any) -> JobSpec:
    """The same job in that layout, with other fields of ``training``: also what validation refuses."""
    changed = asked.training.model_copy(update={"zero_stage": layout.zero} | training)
    parts = ParallelismSpec(tensor=layout.tensor, pipeline=layout.pipeline, sequence=layout.sequence)
    return asked.model_copy(
        update={"training": changed, "parallelism": parts, "processes_per_node": layout.world}
    )


def job_file(
    asked: JobSpec,
    output: Path | str = "unused",
    *,
    attempt: int = 0,
    uid: str = UID,
    name: str = "run",
    layout: Layout | None = None,
    port: int = 1,
    shape: ModelShape | None = None,
    **fields: Any,
) -> JobFile:
    """What the ranks of an attempt are told; the operator's own choice of a layout, unless one is given."""
    values: dict[str, Any] = {
        "shape": (known := shape or shape_of(asked)),
        "layout": layout or layout_of(known, asked),
        "rendezvous": Rendezvous(master_address="127.0.0.1", master_port=port, id=f"{uid}-{attempt}"),
        "output": str(output),
        "scratch": str(Path(output).parent / "scratch"),
    }
    identity = JobIdentity(name=name, namespace="default", uid=uid)
    return JobFile(job=identity, attempt=attempt, spec=asked, **(values | fields))


def job(output: Path, /, *, attempt: int = 0, uid: str = UID, name: str = "run", **changes: Any) -> JobFile:
    """A job of `spec` whose ranks can meet on this machine."""
    return job_file(spec(**changes), output, attempt=attempt, uid=uid, name=name, port=free_port())
