"""One rank: what torchrun starts. Sets up its log and its ending before anything heavy is imported."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from llmtrain_api import JobFile, Outcome
from llmtrain_api.names import EXIT_CONFIG, EXIT_FENCED, EXIT_INTERRUPTED

from .. import log
from ..errors import ConfigError, Fenced, Interrupted
from ..files import write_json
from ..imports import import_muon_uncompiled, quick_imports
from ..job_file import read_job
from ..process import die_with_parent
from ..records import RankRecord, characters
from ..storage.start_marker import Start, read_start
from ..telemetry.heartbeat import Heartbeat, path_of
from ..telemetry.startup import Startup


def main(argv: list[str]) -> int:
    """Train as one rank: ``JOB_FILE``, with torchrun's environment."""
    die_with_parent()
    job = read_job(argv[0])
    rank = int(os.environ.get("RANK", "0"))
    start = read_start(job)
    if start is None:
        raise SystemExit("no attempt-K.ready marker: `launch` writes it before it starts ranks")
    close_screen = _redirect(start.output.rank_log(job.attempt, rank), watched=rank == 0)
    log.configure(human=False, job=job.job.name, attempt=job.attempt, rank=rank)
    end = start.output.rank_end(job.attempt, rank)
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # the launcher asks where a rank hangs
    heartbeat = Heartbeat(path_of(job.scratch, job.attempt, rank))
    try:
        _train(job, start, heartbeat)
    except BaseException as error:  # anything at all is an ending that must be told
        code, outcome = _classify(error)
        if outcome is Outcome.FAILED:
            traceback.print_exc()
        else:
            log.get().warning("stopping", outcome=outcome.value, reason=str(error))
        _leave(end, _ending(error, outcome))
        sys.stdout.flush()
        sys.stderr.flush()
        close_screen()
        # no interpreter shutdown: a process group with a dead peer may block in it
        os._exit(code)
    write_json(end, RankRecord(outcome=Outcome.COMPLETE, time=time.time()).to_json())
    close_screen()
    return 0


def _train(job: JobFile, start: Start, heartbeat: Heartbeat) -> None:
    startup = Startup()
    with quick_imports():
        from .. import distributed
        from ..data.store import read_marker
        from .loop import Training
        from .range_test import RangeTraining
        from .votes import StopRequest

        import_muon_uncompiled()
    startup.done("imports")
    stop = StopRequest()
    start.fence.check()
    marker = read_marker(start.output.data)
    if marker is None:
        raise ConfigError(f"{start.output.data} has no readable data.json")
    ranks = distributed.join(heartbeat.enters)
    if not distributed.all_equal(ranks, marker.digest):
        raise RuntimeError("the ranks see different prepared data; is the output volume shared?")
    startup.done("join")
    kind = Training if job.range_test is None else RangeTraining
    kind(job, start, ranks, marker, startup, heartbeat).run(stop)
    distributed.leave()


def _classify(error: BaseException) -> tuple[int, Outcome]:
    if isinstance(error, ConfigError):
        return EXIT_CONFIG, Outcome.FAILED
    if isinstance(error, Fenced):
        return EXIT_FENCED, Outcome.FENCED
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED, Outcome.INTERRUPTED
    return 1, Outcome.FAILED


def _ending(error: BaseException, outcome: Outcome) -> RankRecord:
    return RankRecord(
        outcome=outcome,
        time=time.time(),
        type=type(error).__name__,
        message=characters(str(getattr(error, "message", error))),
        hint=characters(str(getattr(error, "hint", "") or "")),
        traceback=characters("".join(traceback.format_exception(error))[-4000:]),
    )


def _leave(path: Path, record: RankRecord) -> None:
    """Write how it ended. On a full disk it cannot, and the launcher sees that the disk is full."""
    try:
        write_json(path, record.to_json())
    except OSError:
        traceback.print_exc()


def _redirect(path: Path, *, watched: bool) -> Callable[[], None]:
    """Send this process's output, also that of native code, to the rank's log.

    Where a person started this rank in a terminal, the log is shown there; the answer ends that.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    close = _show(path) if watched and sys.stderr.isatty() else lambda: None
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return close


def _show(path: Path) -> Callable[[], None]:
    from ..telemetry.bar import Screen
    from ..telemetry.log_tail import Tail

    terminal, out = (os.fdopen(os.dup(fd), "w") for fd in (2, 1))
    screen = Screen(terminal, out)
    tail = Tail(path, screen.show, path.stat().st_size if path.exists() else 0)

    def close() -> None:
        tail.close()
        screen.close()

    return close


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
