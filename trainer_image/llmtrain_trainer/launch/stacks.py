"""Where the ranks of this node are right now: for a person who wonders, while the job goes on. No torch."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from llmtrain_api import JobFile
from llmtrain_api.names import ENV_NODE_RANK

from ..errors import ConfigError
from ..job_file import read_job
from ..output import Output
from ..storage.start_marker import read_start
from ..telemetry import heartbeat
from ..telemetry.heartbeat import Pulse
from ..telemetry.phases import Phase
from .hang import DUMP_SIGNAL, dump_stacks, in_which, is_stopped


def stacks(path: str) -> int:
    """Print what each rank of this node is busy with, and the stacks of its threads; the exit code.

    Args:
        path: ``job.json``.

    Raises:
        ConfigError: no rank was started here, or the job has a program of its own.
    """
    job = read_job(path)
    start = read_start(job)
    if job.spec.entrypoint is not None:
        raise ConfigError("a program of one's own does not say where its ranks are", "use py-spy in the pod")
    if start is None:
        raise ConfigError("no rank was started yet", "`llmtrain logs` tells how far the data are")
    local = job.spec.local_world_size
    first = int(os.environ.get(ENV_NODE_RANK, "0")) * local
    for rank in range(first, first + local):
        print("\n".join(_lines(job, start.output, rank)))
    return 0


def _lines(job: JobFile, output: Output, rank: int) -> list[str]:
    pulse = heartbeat.read(heartbeat.path_of(job.scratch, job.attempt, rank), rank)
    if pulse is None or not _answers(pulse.pid):
        return [f"rank {rank}: no process; it has not begun, or has ended"]
    where = in_which(pulse) if pulse.phase is Phase.COMMUNICATION else ""
    told = (
        f"rank {rank}, process {pulse.pid}: {pulse.phase.value} for {pulse.age:.1f} s{where}{_usual(pulse)}"
    )
    if is_stopped(pulse.pid):
        return [f"{told}; it is stopped by a signal, and cannot say where"]
    log = output.rank_log(job.attempt, rank)
    before = log.stat().st_size if log.exists() else 0
    dump_stacks([pulse.pid], [log])
    return [told, *(f"  {line}" for line in _since(log, before))]


def _usual(pulse: Pulse) -> str:
    return f" (the longest phase of a step so far: {pulse.longest:.1f} s)" if pulse.longest else ""


def _since(log: Path, size: int) -> list[str]:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(size)
        return file.read().decode(errors="replace").splitlines()
    return []


def _answers(pid: int) -> bool:
    """Whether a process is there that takes the signal: any other would be ended by it."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (DUMP_SIGNAL - 1) & 1)
    return False
