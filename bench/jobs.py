"""What the ranks of a benchmark are told: ``job.json`` of a job on this machine. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmtrain_api import JobFile, JobIdentity, JobSpec, Rendezvous, layout_of, parse_spec, shape_of
from llmtrain_api.names import MASTER_PORT

OUTPUT = {"uri": "file:///bench"}
"""Of a spec: where the output really is, a job file says."""


def job_of(
    wanted: JobSpec | dict[str, Any],
    folder: Path,
    *,
    attempt: int = 0,
    port: int = MASTER_PORT,
    dataset: Path | None = None,
) -> JobFile:
    """A job's file.

    Args:
        wanted: its spec, or the fields of one but for the output.
        folder: where its output and what it may lose are.
        attempt: which one it is told of.
        port: where its ranks meet.
        dataset: the folder of its data, where it has one.
    """
    spec = wanted if isinstance(wanted, JobSpec) else parse_spec({"output": OUTPUT, **wanted}, strict=True)
    shape = shape_of(spec)
    return JobFile(
        job=JobIdentity(name="bench", namespace="default", uid="bench"),
        attempt=attempt,
        spec=spec,
        shape=shape,
        layout=layout_of(shape, spec),
        rendezvous=Rendezvous(master_address="127.0.0.1", master_port=port, id=f"bench-{attempt}"),
        output=str(folder / "output"),
        dataset=str(dataset) if dataset else None,
        scratch=str(folder / "scratch"),
    )
