"""Whether this node's ranks go on, and which of them does not. Judged where they run: no network is asked."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from llmtrain_api import FailureClass, JobFile, WaitsIn
from llmtrain_api.schema.recovery import RecoverySpec

from .. import process
from ..telemetry import heartbeat
from ..telemetry.heartbeat import Pulse
from ..telemetry.phases import WHOLE, Phase
from .root_cause import Verdict

LEAST_SECONDS = 300.0
TIMES_LONGEST = 10.0
"""Unless the job says otherwise, a phase of a step may take ten times as long as the longest one so far, and
five minutes in any case: NVIDIA's resiliency extension takes five times the longest interval."""
PATIENCE_SECONDS = 10.0
"""A rank that waits for another is judged later than that one, which is on another node perhaps."""
EVERY_SECONDS = 1.0
PAUSED_SECONDS = 10.0
"""A launcher that did not come to look for so long was paused with its ranks, as containers can be."""
GRACE_SECONDS = 60.0
"""What ranks get after a pause before they are judged again."""
DUMP_SECONDS = 2.0
DUMP_SIGNAL = signal.SIGUSR1


def limit(pulse: Pulse, recovery: RecoverySpec) -> float:
    """Seconds that a rank may be in its phase."""
    if pulse.phase in WHOLE:
        return float(recovery.stage_timeout_seconds)
    own = recovery.step_timeout_seconds
    seconds = float(own) if own else max(LEAST_SECONDS, TIMES_LONGEST * pulse.longest)
    return seconds + (PATIENCE_SECONDS if _waits(pulse) and not pulse.stopped else 0.0)


def hang(pulses: Iterable[Pulse], recovery: RecoverySpec) -> Verdict | None:
    """Which rank of a node keeps the gang from going on; None while all of them are within their time.

    A rank that is stopped, or busy with something of its own, is the cause. Ranks that wait in a collective
    operation only say that somebody is: the cause may be on another node. Of these it is the one that has
    entered the fewest: it fell behind, or took another way than its peers.
    """
    late = [pulse for pulse in pulses if pulse.age > limit(pulse, recovery)]
    if not late:
        return None
    first = min(late, key=_place)
    echo = _waits(first) and not first.stopped
    return Verdict(
        FailureClass.HANG,
        _told(first),
        _hint(first),
        first.rank,
        cascade=echo,
        waits_in=WaitsIn(number=first.collective, operation=first.operation) if echo else None,
    )


def _place(pulse: Pulse) -> tuple[float, ...]:
    """The cause comes first."""
    if pulse.stopped or not _waits(pulse):
        return (not pulse.stopped, 0, -pulse.age, pulse.rank)
    return (1, 1, pulse.collective, -pulse.age, pulse.rank)


def _waits(pulse: Pulse) -> bool:
    return pulse.phase is Phase.COMMUNICATION


def _told(pulse: Pulse) -> str:
    usual = f", where no phase of a step had taken longer than {pulse.longest:.1f} s" if pulse.longest else ""
    if pulse.stopped:
        return f"rank {pulse.rank} has not gone on for {pulse.age:.0f} s: its process is stopped by a signal"
    if _waits(pulse):
        return f"rank {pulse.rank} has waited for other ranks for {pulse.age:.0f} s{in_which(pulse)}{usual}"
    return f"rank {pulse.rank} has been in {pulse.phase.value} for {pulse.age:.0f} s{usual}"


def in_which(pulse: Pulse) -> str:
    """The collective operation that a rank is in, for people."""
    return f" in {pulse.operation}, its collective operation {pulse.collective}" if pulse.collective else ""


def _hint(pulse: Pulse) -> str:
    where = (
        f"the stack of every rank of this node is at the end of its log (rank-{pulse.rank}.log in the output)"
    )
    field = "stageTimeoutSeconds" if pulse.phase in WHOLE else "stepTimeoutSeconds"
    return f"{where}; where it only needs more time, set recovery.{field}"


class HangWatch:
    """Looks at the ranks of one torchrun now and then."""

    def __init__(self, job: JobFile, ranks: range, clock: Callable[[], float] = time.monotonic) -> None:
        self._recovery = job.spec.recovery
        self._paths = {rank: heartbeat.path_of(job.scratch, job.attempt, rank) for rank in ranks}
        self._clock, self._next = clock, clock()
        for path in self._paths.values():
            path.unlink(missing_ok=True)

    def look(self, workers: list[int]) -> Verdict | None:
        """What keeps the ranks from going on; None while nothing does, and between two looks.

        Args:
            workers: processes of the ranks.
        """
        now = self._clock()
        if now - self._next > PAUSED_SECONDS:
            self._next = now + GRACE_SECONDS
        if now < self._next:
            return None
        self._next = now + EVERY_SECONDS
        found = [heartbeat.read(path, rank) for rank, path in self._paths.items()]
        pulses = [replace(p, stopped=p.pid in workers and is_stopped(p.pid)) for p in found if p]
        return hang(pulses, self._recovery)


def dump_stacks(workers: list[int], logs: list[Path]) -> None:
    """Have every rank write where each of its threads is, to its log. One that is stopped cannot."""
    sizes = {log: _size(log) for log in logs}
    process.signal_each([pid for pid in workers if not is_stopped(pid)], DUMP_SIGNAL)
    until = time.monotonic() + DUMP_SECONDS
    while time.monotonic() < until and any(_size(log) == before for log, before in sizes.items()):
        time.sleep(0.05)


def is_stopped(pid: int) -> bool:
    """Whether a signal, or a debugger, has stopped a process: its state follows its name in parentheses."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    return False


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0
