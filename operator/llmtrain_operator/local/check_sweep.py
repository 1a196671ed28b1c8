"""``llmtrain check`` of an LLMTrainingSweep: its trials, and what a job of it will be."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from llmtrain_api.schema.sweep_adapters import SweepAdapter
from llmtrain_api.sweeps import InvalidSweep, Sweep, job_name, job_of, minimizes, rounds_of, trials_of

from ..kube.api import Object
from .check import CheckRequest, check, check_data
from .exit_codes import MISTAKE
from .sweep import job_manifest
from .sweep_file import sweep_in

SHOWN = 20
"""Trials that are shown one by one."""


def check_sweep(request: CheckRequest, out: TextIO) -> int:
    """Say what its jobs try, and then what `check` says of the first of them.

    Returns:
        The exit code: 0 it may run, 1 something could not be looked at, 2 refused.
    """
    try:
        sweep = sweep_in(request.manifest)
    except InvalidSweep as invalid:
        for mistake in invalid.mistakes:
            print(f"{request.manifest}: {mistake}", file=sys.stderr)
        return MISTAKE
    _told(sweep, out)
    with _first(sweep) as path:
        print("\nthe first of its jobs:", file=out)
        return check(replace(request, manifest=path), out)


def check_sweep_data(request: CheckRequest) -> tuple[int, Object]:
    """What `check_sweep` says, for programs: the exit code, and a value of JSON."""
    try:
        sweep = sweep_in(request.manifest)
    except InvalidSweep as invalid:
        return MISTAKE, {"accepted": False, "mistakes": list(invalid.mistakes)}
    with _first(sweep) as path:
        code, first = check_data(replace(request, manifest=path))
    trials = [
        {
            "job": job_name(sweep.name, sweep.spec, trial.number, 0),
            **({"adapter": trial.adapter} if trial.adapter else {"parameters": trial.texts()}),
        }
        for trial in trials_of(sweep.spec)
    ]
    told = {"name": sweep.name, "accepted": first["accepted"], "mistakes": first["mistakes"]}
    return code, told | {"trials": trials, "first": first}


@contextmanager
def _first(sweep: Sweep) -> Iterator[Path]:
    """A file with the manifest of the first of its jobs."""
    with tempfile.TemporaryDirectory(prefix="llmtrain-check-") as private:
        name = job_name(sweep.name, sweep.spec, 0, 0)
        path = Path(private, f"{name}.json")
        spec = job_of(sweep.name, sweep.spec, trials_of(sweep.spec)[0], 0)
        path.write_text(json.dumps(job_manifest(name, sweep.namespace, spec, sweep.name)))
        yield path


def _told(sweep: Sweep, out: TextIO) -> None:
    if sweep.spec.adapters:
        _told_adapters(sweep, sweep.spec.adapters, out)
        return
    spec, trials, rounds = sweep.spec, trials_of(sweep.spec), rounds_of(sweep.spec)
    better = "least" if minimizes(spec) else "greatest"
    jobs = sum(count for count, _ in rounds)
    print(f"{sweep.name}: nothing is wrong with the sweep or with any of its jobs", file=out)
    print(
        f"jobs          {jobs}, {min(spec.parallel, jobs)} at the same time; the best has the {better} "
        f"{spec.objective.metric}",
        file=out,
    )
    for turn, (count, steps) in enumerate(rounds if len(rounds) > 1 else []):
        length = f"{steps} steps" if steps is not None else "all steps"
        print(f"round {turn}       {count} trials of {length}", file=out)
    table = Table("trial", *(parameter.field for parameter in spec.parameters))
    for trial in trials[:SHOWN]:
        table.add_row(job_name(sweep.name, spec, trial.number, 0), *trial.texts().values())
    Console(file=out).print(table)
    if len(trials) > SHOWN:
        print(f"and {len(trials) - SHOWN} more", file=out)


def _told_adapters(sweep: Sweep, adapters: list[SweepAdapter], out: TextIO) -> None:
    count = len(adapters)
    print(f"{sweep.name}: nothing is wrong with the sweep or with any of its jobs", file=out)
    base = sweep.spec.job["model"]["name"]
    print(
        f"jobs          {count}, {min(sweep.spec.parallel, count)} at the same time; an adapter each, over "
        f"{base}",
        file=out,
    )
    table = Table("adapter", "dataset")
    for number, one in enumerate(adapters[:SHOWN]):
        data = one.dataset.get("name") or "a mixture"
        table.add_row(job_name(sweep.name, sweep.spec, number, 0), str(data))
    Console(file=out).print(table)
    if count > SHOWN:
        print(f"and {count - SHOWN} more", file=out)
