"""``llmtrain show``: one job on one screen, what matters first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from llmtrain_api import DatasetResult, Job, Progress, Results

from ..values import Event
from .words import clock, count, joined, plain, span, when

EVENTS = 8
Row = tuple[str, str]


def show(job: Job, events: Sequence[Event], now: datetime) -> list[tuple[str, list[Row]]]:
    """Parts of the page, each a title and rows of a name and a text; rows without a text are left out.

    Args:
        job: the object.
        events: of it and of its pods, oldest first.
        now: the current moment.
    """
    parts = [
        ("", list(_head(job, now))),
        ("Progress", list(_progress(job.status.progress or Progress(), now))),
        ("What it is", list(_resolved(job))),
        ("What it leaves", list(_results(job))),
        ("What it took", list(_usage(job))),
        ("Events", [_event(event, now) for event in events[-EVENTS:]]),
    ]
    kept = [(title, [(name, plain(text)) for name, text in rows if text]) for title, rows in parts]
    return [(title, rows) for title, rows in kept if rows]


def _head(job: Job, now: datetime) -> Iterator[Row]:
    status, meta = job.status, job.metadata
    yield "name", f"{meta.namespace}/{meta.name}"
    refusal = status.refusal
    yield "phase", "Refused" if refusal is not None else status.phase.value if status.phase else "Pending"
    if refusal is not None:
        yield "refused", refusal.message
    yield "created", when(meta.creation_timestamp, now)
    if status.waiting is not None:
        place = f" (place {status.waiting.position})" if status.waiting.position else ""
        yield "waits for", f"{status.waiting.reason}{place}: {status.waiting.message}"
    if status.failure is not None:
        over = status.phase is not None and status.phase.final
        yield (
            ("failed" if over else "last failure"),
            f"{status.failure.failure_class.value}: {status.failure.message}",
        )
        yield "what helps", status.failure.hint or ""
    yield "attempt", "" if status.attempt is None else f"{status.attempt} ({_restarts(job)})"
    if status.workers is not None:
        wanted = f" (the spec asks for {status.workers.wanted})" if status.workers.wanted else ""
        yield "pods ready", f"{status.workers.summary}{wanted}"
        yield "gang", status.workers.message or ""


def _restarts(job: Job) -> str:
    restarts = job.status.restarts
    total = restarts.total if restarts else 0
    if restarts is None or not total:
        return "no restarts"
    causes = f"{restarts.application} by the program, {restarts.infrastructure} from outside"
    return f"{count(total, 'restart')}: {causes}"


def _progress(found: Progress, now: datetime) -> Iterator[Row]:
    yield "stage", found.stage or ""
    share = f" ({found.percent_text})" if found.percent_text else ""
    yield "step", f"{found.summary}{share}" if found.summary else ""
    yield "loss", found.loss_text or ""
    yield "held-out loss", _held_out(found)
    yield "learning rate", "" if found.learning_rate is None else f"{found.learning_rate:.3g}"
    mfu = f" (MFU {found.mfu:.0%})" if found.mfu else ""
    yield "tokens/s", f"{found.tokens_per_second_text}{mfu}" if found.tokens_per_second_text else ""
    yield "ends", f"{when(found.eta, now)} ({clock(found.eta)})" if found.eta else ""
    yield "reported", when(found.updated_at, now)


def _held_out(found: Progress | Results | DatasetResult) -> str:
    if found.eval_loss is None:
        return ""
    beside = f", perplexity {found.perplexity:.2f}" if found.perplexity is not None else ""
    return f"{found.eval_loss:.3f}{beside}"


def _resolved(job: Job) -> Iterator[Row]:
    spec, found = job.spec, job.status.resolved
    program = spec.get("entrypoint", {})
    yield "program", " ".join([*program.get("command", []), *program.get("args", [])])
    yield "model", str(spec.get("model", {}).get("name", ""))
    yield "data", _data(spec.get("dataset", {}))
    if found is None:
        return
    yield "layout", found.layout
    yield "precision", found.precision or ""
    yield "learning rate", found.learning_rate or ""
    yield "compare", found.recipe or ""
    each = f"{found.micro_batch} a rank at once, {found.accumulation} times"
    yield "batch", f"{found.global_batch} sequences a step: {each}" if found.global_batch else ""
    yield "image", found.image


def _data(dataset: dict[str, object]) -> str:
    mixture = dataset.get("mixture")
    if isinstance(mixture, list):
        return joined(str(one.get("name")) for one in mixture if isinstance(one, dict))
    return str(dataset.get("name", ""))


def _results(job: Job) -> Iterator[Row]:
    status, found = job.status, job.status.results
    yield "output", str(job.spec.get("output", {}).get("uri", ""))
    if status.checkpoint is not None:
        yield "checkpoint", f"step {status.checkpoint.step}"
    if found is None:
        return
    why = f" ({found.stop_reason})" if found.stop_reason else ""
    steps = found.work if found.measured or found.steps is None else f"{found.steps:,}{why}"
    yield "steps", steps
    yield "train loss", "" if found.train_loss is None else f"{found.train_loss:.3f}"
    yield "held-out loss", _held_out(found)
    for one in found.datasets:
        yield f"on {one.name}", _held_out(one)
    if found.tasks is not None:
        for task in found.tasks.figures:
            yield f"task {task.task}", f"{task.metric} {task.value:.4g}"
        yield "tasks", f"no: {found.tasks.error}" if found.tasks.error else ""
    yield "model lies in", found.export_uri or ""
    if (pushed := found.published) is not None:
        yield "published", pushed.url or f"no: {pushed.error}"


def _usage(job: Job) -> Iterator[Row]:
    found = job.status.usage
    if found is None:
        return
    yield "up", span(found.running_seconds) if found.running_seconds else ""
    wasted = (
        f", of which {span(found.wasted_gpu_seconds)} were computed again" if found.wasted_gpu_seconds else ""
    )
    yield "GPU time", f"{span(found.gpu_seconds)}{wasted}" if found.gpu_seconds else ""
    yield "cost", "" if found.cost is None else f"{found.cost:.2f} {found.currency or ''}".strip()


def _event(event: Event, now: datetime) -> Row:
    about = f"{event.about}: " if event.about else ""
    often = f" ({event.count} times)" if event.count > 1 else ""
    return when(event.time, now) or "?", f"{event.reason}: {about}{event.message}{often}"
