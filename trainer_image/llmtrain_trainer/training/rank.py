"""One rank: what torchrun starts. Sets up its log and its ending before anything heavy is imported."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmtrain_api import JobFile
from llmtrain_api.names import EXIT_CONFIG, EXIT_FENCED, EXIT_INTERRUPTED

from .. import log
from ..errors import ConfigError, Fenced, Interrupted
from ..files import write_json
from ..imports import import_muon_uncompiled, quick_imports
from ..job_file import read_job
from ..process import die_with_parent
from ..storage.start_marker import Start, read_start
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
    try:
        _train(job, start)
    except BaseException as error:  # anything at all is an ending that must be told
        code, outcome = _classify(error)
        if outcome == "Failed":
            traceback.print_exc()
        else:
            log.get().warning("stopping", outcome=outcome, reason=str(error))
        write_json(end, _ending(error, outcome))
        sys.stdout.flush()
        sys.stderr.flush()
        close_screen()
        # no interpreter shutdown: a process group with a dead peer may block in it
        os._exit(code)
    write_json(end, {"outcome": "Complete", "time": time.time()})
    close_screen()
    return 0


def _train(job: JobFile, start: Start) -> None:
    startup = Startup()
    with quick_imports():
        from .. import distributed
        from ..data.store import read_marker
        from .loop import StopRequest, Training

        import_muon_uncompiled()
    startup.done("imports")
    stop = StopRequest()
    start.fence.check()
    marker = read_marker(start.output.data)
    if marker is None:
        raise ConfigError(f"{start.output.data} has no readable data.json")
    ranks = distributed.join()
    if not distributed.all_equal(ranks, marker.digest):
        raise RuntimeError("the ranks see different prepared data; is the output volume shared?")
    startup.done("join")
    Training(job, start, ranks, marker, startup).run(stop)
    distributed.leave()


def _classify(error: BaseException) -> tuple[int, str]:
    if isinstance(error, ConfigError):
        return EXIT_CONFIG, "Failed"
    if isinstance(error, Fenced):
        return EXIT_FENCED, "Fenced"
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED, "Interrupted"
    return 1, "Failed"


def _ending(error: BaseException, outcome: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "time": time.time(),
        "type": type(error).__name__,
        "message": getattr(error, "message", str(error)),
        "hint": getattr(error, "hint", ""),
        "traceback": "".join(traceback.format_exception(error))[-4000:],
    }


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
