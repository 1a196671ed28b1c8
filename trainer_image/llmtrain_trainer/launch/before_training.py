"""Stages until all ranks may start: claim, fence, data, checkpoint; or, on other nodes, waiting for it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llmtrain_api import ProgressUpdate, Stage

from .. import log
from ..checkpoint.origin import adopt, look
from ..data.store import Marker, fingerprints, read_marker, reusable, settled, tokens_root
from ..errors import Fenced
from ..files import discard
from ..output import Output
from ..pretrained.unchanged import require_unchanged
from ..records import PreparationRecord, record_or_none
from ..storage.start_marker import Start
from ..telemetry.reporter import Reporter
from .attempt import Attempt, required
from .compiler import require_compiler
from .gang import Pause, await_gang, await_start
from .tasks import require_tasks
from .tracking import require_libraries

NAME_DEADLINE = 120.0
PREPARATION_LIMIT = 4096


def claim(attempt: Attempt) -> None:
    """Make the output this job's own, and look whether the job is complete already."""
    attempt.claimed = attempt.store.claim()
    attempt.results = attempt.claimed.finished()
    if attempt.results:
        log.get().info("this job is complete already", output=str(attempt.claimed.output.root))


def raise_fence(attempt: Attempt) -> None:
    """Make this attempt the only one that can commit.

    Raises:
        Fenced: a newer attempt writes there, or the gang for which the data were to be prepared.
    """
    claimed = required(attempt.claimed, "claimed")
    if attempt.only_prepare and attempt.store.read_start(attempt.node_rank) is not None:
        raise Fenced("the gang has started already: its data are prepared")
    attempt.fence = claimed.raise_fence()
    attempt.be_present(claimed)


def check_compiler(_: Attempt) -> None:
    """Look for what compiled layers need, before data are prepared for an hour."""
    require_compiler()


def check_trackers(attempt: Attempt) -> None:
    """Look for the libraries of trackers, before data are prepared for an hour."""
    require_libraries(attempt.job)


def check_tasks(attempt: Attempt) -> None:
    """Look for the lm-evaluation-harness and the tasks, before data are prepared for an hour."""
    require_tasks(attempt.job)


def fetch_model(attempt: Attempt) -> None:
    """Copy the model that training starts from onto this node: where data are prepared, and no rank will
    start, without its weights."""
    log.get().info("fetching the model", model=str(attempt.job.spec.model.name))
    attempt.run_verb("fetch", ["--without-weights"] if attempt.only_prepare else [])


def look_again(attempt: Attempt) -> None:
    """Nobody has changed the model's weights since the job looked at them. Not asked where a checkpoint has
    them all.

    Raises:
        ConfigError: somebody has.
    """
    start, job = required(attempt.start, "start"), attempt.job
    if start.resume is None or job.spec.model.adapter:
        require_unchanged(job)


def look_at_origin(attempt: Attempt) -> None:
    """Whether the other output has the step that the job begins with. Not asked of a job with steps."""
    if not required(attempt.claimed, "claimed").committed():
        look(attempt.job, settled(attempt.job))


def prepare(attempt: Attempt) -> None:
    """The data of an earlier attempt, or new ones: into the attempt's folder, then one rename."""
    claimed, fence = required(attempt.claimed, "claimed"), required(attempt.fence, "fence")
    claimed.fetch_data(fence)
    data = fence.output.data
    attempt.data, reason = reusable(data, attempt.job, has_checkpoints=bool(claimed.committed()))
    if attempt.data:
        log.get().info("prepared data are reused", **attempt.data.told)
        _warn(attempt.data)
    else:
        _make_data(attempt, reason)
    claimed.upload_data(fence)


def _make_data(attempt: Attempt, reason: str) -> None:
    fence, job = required(attempt.fence, "fence"), attempt.job
    log.get().info("preparing data", reason=reason, dataset=job.spec.dataset.source_names)
    folder, data, told = fence.folder / "data", fence.output.data, fence.folder / "prepare.json"
    reporter = Reporter(job, Stage.PREPARE, lambda: preparation(told))
    reporter.update(urgent=True)
    named = ["--into", folder, "--tokens", tokens_root(job, data), "--progress", told]
    try:
        attempt.run_verb("prepare", [str(one) for one in named], wrote=folder)
    finally:
        reporter.close()
    if data.exists():
        data.rename(fence.folder / "old-data")
    fence.commit("data", data)
    attempt.data = read_marker(data)
    if attempt.data is None:
        raise RuntimeError("the data stage left no marker")
    _discard_tokens(fence.output, attempt.data)
    log.get().info("data prepared", **attempt.data.told)
    _warn(attempt.data)


def _discard_tokens(output: Output, data: Marker) -> None:
    """Delete the token sets of this output that its data are no view of."""
    kept = data.token_set.name if data.token_set and not data.token_set.cached else None
    for folder in output.tokens.iterdir() if output.tokens.is_dir() else ():
        if folder.name != kept:
            discard(folder)


def preparation(file: Path) -> ProgressUpdate | None:
    """How far `prepare` says that it is; None where it says nothing that can be read."""
    found = record_or_none(file, PreparationRecord, PREPARATION_LIMIT)
    return ProgressUpdate(**dict(found)) if found else None


def _warn(data: Marker) -> None:
    for sentence in data.report.get("warnings", []):
        log.get().warning(sentence)


def publish_start(attempt: Attempt) -> None:
    """Choose the checkpoint to go on from, and let all ranks start."""
    claimed, fence = required(attempt.claimed, "claimed"), required(attempt.fence, "fence")
    prints = fingerprints(attempt.job, required(attempt.data, "data"))
    torn: list[int] = []

    def pass_over(step: int, reason: str) -> None:
        torn.append(step)
        log.get().warning("checkpoint is torn and passed over", step=step, reason=reason)

    pause = Pause(attempt.job.spec.nodes, attempt.store.poll, attempt.stop)
    with _waiting(attempt):
        resume = claimed.choose(fence, prints, pass_over, pause)
    if resume is None and attempt.job.origin is not None:
        resume = adopt(fence, attempt.job, prints)
    start = Start(fence, resume, prints, tuple(torn))
    note = start.note(attempt.job.layout)
    if resume:
        log.get().info("going on from a checkpoint", step=resume.step, **({"note": note} if note else {}))
    elif note:
        log.get().warning("no checkpoint to go on from", note=note)
    claimed.publish_start(start)
    attempt.start = start


def join(attempt: Attempt) -> None:
    """Wait until node 0 has published the start, and get what it needs onto this node."""
    joined = await_start(attempt.store, attempt.node_rank, attempt.stop)
    attempt.claimed, attempt.start = joined.claimed, joined.start
    attempt.be_present(joined.claimed)


def gather(attempt: Attempt) -> None:
    """Wait until the launchers of all nodes run."""
    with _waiting(attempt):
        await_gang(required(attempt.claimed, "claimed"), attempt.store.poll, attempt.stop)


@contextmanager
def _waiting(attempt: Attempt) -> Iterator[None]:
    """Node 0 reports that it waits for the others, where there are any: no clock of a stage runs then."""
    told = attempt.node_rank == 0 and attempt.job.spec.nodes > 1
    reporter = Reporter(attempt.job, Stage.WAIT) if told else None
    try:
        if reporter:
            reporter.update(urgent=True)
        yield
    finally:
        if reporter:
            reporter.close()


def resolve_master(attempt: Attempt) -> None:
    """A new pod's name takes a while to resolve; torchrun itself would give up at once."""
    meet, until = attempt.job.rendezvous, time.monotonic() + NAME_DEADLINE
    while True:
        try:
            socket.getaddrinfo(meet.master_address, meet.master_port)
            return
        except OSError as error:
            if time.monotonic() > until:
                raise TimeoutError(f"{meet.master_address} does not resolve: {error}") from None
        attempt.stop.raise_if_asked()
        time.sleep(0.5)
