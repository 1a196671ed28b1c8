"""Sweeps of adapters on this machine: what is told of them, and their router file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.table import Table

from llmtrain_api.schema.status.sweep import SweepStatus
from llmtrain_api.schema.sweep import SweepSpec
from llmtrain_api.sweeps import Sweep
from llmtrain_api.sweeps.router import FILE, router_of

from ..kube.api import Object
from .saved_jobs import output_folder, replace_json


def router_file(runs: Path, spec: SweepSpec) -> Path:
    """Where the router file of a sweep lies: beside the folders of its adapters."""
    return output_folder(str(spec.job["output"]["uri"]), runs) / FILE


def write_router(runs: Path, sweep: Sweep, status: SweepStatus) -> None:
    """Put the router file in the place of an earlier one, whole, or leave that. Nothing before there is a
    base: neither is there then an adapter."""
    if status.base is None:
        return
    file = router_file(runs, sweep.spec)
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_json(file, router_of(sweep.name, sweep.spec, status).to_json())


def table_of(status: SweepStatus) -> Table:
    """The adapters, what each learnt, and why some did not."""
    table = Table("adapter", "phase", "evalLoss", "why not")
    for record in status.trials:
        shown = "" if record.value is None else f"{record.value:.6g}"
        table.add_row(record.job, record.phase, shown, record.message or "")
    return table


def trained_on_the_same(saved: Object, planned: dict[str, Any]) -> bool:
    """Whether a job that is over was trained as a sweep would have it now.

    Args:
        saved: its spec, to which a runtime may have added.
        planned: its spec by the sweep.
    """
    if saved.get("dataset") != planned["dataset"]:
        return False
    return _holds(saved.get("training") or {}, planned.get("training") or {})


def _holds(found: dict[str, Any], asked: dict[str, Any]) -> bool:
    return all(name in found and found[name] == value for name, value in asked.items())
