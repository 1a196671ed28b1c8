"""What a person reads of a job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from llmtrain_api import (
    AnswersResult,
    DatasetResult,
    DataSummary,
    Failure,
    Job,
    JobStatus,
    Progress,
    Results,
    SourceResult,
    TasksResult,
    parse_spec,
    shape_of,
    task_of,
)
from llmtrain_api.schema.status.answers import COPIED, LEAD

from ..plan.events import Event, events_between
from ..plan.progress import duration_text

COLUMNS = ("NAME", "PHASE", "NODES", "STEP", "PROGRESS", "LOSS", "TOKENS/S", "ETA", "RESTARTS", "AGE")
WIDTHS = (4, 10, 5, 9, 8, 6, 8, 5, 8, 5)
TAIL_LINES = 12


def row(job: Job, progress: Progress | None, now: datetime) -> tuple[str, ...]:
    """The cells that ``kubectl get llmjob`` shows.

    Args:
        job: the object.
        progress: newer than the object's own, if there is a newer one.
        now: the current moment.
    """
    status = job.status
    shown = progress or status.progress or Progress()
    began = job.metadata.creation_timestamp
    return (
        job.metadata.name,
        status.phase.value if status.phase else "Pending",
        status.workers.summary if status.workers else "",
        shown.summary or "",
        shown.percent_text or "",
        shown.loss_text or "",
        shown.tokens_per_second_text or "",
        shown.eta_text or "",
        str(status.restarts.total if status.restarts else 0),
        duration_text((now - began).total_seconds()) if began else "",
    )


def aligned(cells: tuple[str, ...]) -> tuple[str, str]:
    """A header and the cells under it; widths depend on the name alone, so that rows line up."""
    widths = (max(len(cells[0]), WIDTHS[0]), *WIDTHS[1:])
    header, line = ("  ".join(map(str.ljust, cells_of, widths)).rstrip() for cells_of in (COLUMNS, cells))
    return header, line


def news(old: JobStatus, new: JobStatus) -> list[str]:
    """What a person wants to hear of one step from a status to the next."""
    lines = [_event(event, new) for event in events_between(old, new) if event.reason != "Failed"]
    model = new.resolved.model if new.resolved else None
    if model is not None and (old.resolved is None or model != old.resolved.model):
        lines.append(f"Model: {model.shape.architecture}, {model.shape.parameters:,} parameters")
    step = _resumed(new)
    if step is not None and step != _resumed(old):
        note = new.attempts[-1].resumed_note
        lines.append(
            f"Resumed: attempt {new.attempt} goes on from step {step}" + (f" ({note})" if note else "")
        )
    if new.checkpoint and new.checkpoint != old.checkpoint:
        lines.append(f"Checkpoint: step {new.checkpoint.step} is committed")
    # the old gang goes within a second here, as every restart tells
    if new.waiting and new.waiting != old.waiting and new.waiting.reason != "OldPodsTerminating":
        lines.append(f"Waiting: {new.waiting.reason}: {new.waiting.message}")
    return lines


def _event(event: Event, status: JobStatus) -> str:
    hint = status.failure.hint if status.failure and event.reason == "Restarting" else None
    return f"{event.reason}: {event.message}" + (f" ({hint})" if hint else "")


def _resumed(status: JobStatus) -> int | None:
    """The step that the current attempt goes on from; None when it began at the beginning."""
    return (status.attempts[-1].resumed_step or None) if status.attempts else None


def failed(failure: Failure, logs: list[Path]) -> list[str]:
    """A final failure: class, cause, what to do, the end of the log, where the rest lies."""
    lines = [f"failed: {failure.failure_class.value}: {failure.message}"]
    where = [f"rank {failure.rank}"] if failure.rank is not None else []
    where += [f"exit code {failure.exit_code}"] if failure.exit_code is not None else []
    lines += [f"  where   {', '.join(where)}"] if where else []
    lines += [f"  hint    {failure.hint}"] if failure.hint else []
    tail = (failure.log_tail or "").strip().splitlines()[-TAIL_LINES:]
    lines += ["  log", *(f"    {line}" for line in tail)] if tail else []
    return lines + [f"  more    {path}" for path in logs]


def stopped(status: JobStatus, command: str) -> list[str]:
    """What is saved and how to go on."""
    return [f"stopped; {_saved(status)}. To go on, run the same command again:", f"  {command}"]


def suspended(status: JobStatus, command: str) -> list[str]:
    """What is saved and how to go on from a manifest that says to stand still."""
    said = f"suspended by spec.suspend; {_saved(status)}. To go on, set it to false in the manifest and run:"
    return [said, f"  {command}"]


def _saved(status: JobStatus) -> str:
    step = status.checkpoint.step if status.checkpoint else 0
    return f"step {step} is saved" if step else "nothing was saved yet"


def _data_lines(data: DataSummary | None) -> list[str]:
    """What of the text was left out; nothing where all of it was read as it is."""
    if data is None:
        return []
    lines = []
    if data.bytes_not_read:
        share = 100 * data.bytes_not_read / (data.bytes_read + data.bytes_not_read)
        lines.append(f"  text not read     {share:.0f} % ({data.bytes_not_read:,} bytes), beyond maxBytes")
    if data.replaced_characters:
        lines.append(f"  replaced          {data.replaced_characters:,} characters that are no text")
    if data.skipped_files:
        lines.append(
            f"  skipped           {data.skipped_files:,} files or folders; logs/*/prepare.log names them"
        )
    if data.skipped_documents:
        lines.append(f"  left out          {data.skipped_documents:,} documents; data/report.json says why")
    done = {
        "changed": data.changed_documents,
        "values masked": data.masked_values,
        "copies dropped": data.duplicate_documents,
        "added": data.added_documents,
    }
    if any(done.values()):
        told = ", ".join(f"{count:,} {what}" for what, count in done.items() if count)
        lines.append(f"  cleaned           {told}")
    return lines


def _preference_lines(results: Results) -> list[str]:
    found = results.preference
    if found is None or results.eval_loss is None or found.reward_accuracy is None:
        return []
    return [
        f"  held-out pairs    loss {results.eval_loss:.3f}; the better answer has the higher reward in "
        f"{100 * found.reward_accuracy:.1f} % of {found.pairs}"
    ]


def _measured(source: SourceResult | DatasetResult) -> str:
    if source.eval_loss is None:
        return "no loss" if source.tokens else "nothing that asks for an answer"
    if isinstance(source, DatasetResult) and source.scores is not None:
        return f"loss {source.eval_loss:.3f}, of {source.tokens:,} samples"
    perplexity = "" if source.perplexity is None else f", perplexity {source.perplexity:.2f}"
    return f"{source.eval_loss:.3f} nat a token{perplexity}, of {source.tokens:,} tokens"


def _compared(one: DatasetResult) -> str:
    """What else is known of a set: how answers and samples compare, and whether all of it was measured."""
    told = [_scores(one.answers.said())] if one.answers else []
    if one.scores is not None:
        scores = one.scores.model_dump(exclude_none=True, exclude={"samples", "classes"})
        told.append(", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in scores.items()))
    if one.of > one.sequences:
        told.append(f"{one.sequences:,} of its {one.of:,} sequences (evaluation.maxSequences)")
    return "".join(f"; {text}" for text in told if text)


def _task_lines(found: TasksResult | None) -> list[str]:
    if found is None:
        return []
    if found.error:
        return [f"  tasks             no figures: {found.error}"]
    return [
        f"  task {one.task:<12} {one.metric} {one.value:.4g}"
        + ("" if one.stderr is None else f" ± {one.stderr:.2g}")
        + f", of {one.rows:,} rows"
        for one in found.figures
    ]


def _kto_lines(results: Results) -> list[str]:
    found = results.kto
    if found is None or results.eval_loss is None or found.accuracy is None:
        return []
    return [
        f"  held-out answers  loss {results.eval_loss:.3f}; on the right side of the divergence are "
        f"{100 * found.accuracy:.1f} % of {found.samples}"
    ]


def _reinforcement_lines(results: Results) -> list[str]:
    found = results.reinforcement
    if found is None:
        return []
    rules = ", ".join(f"{one.name} {one.mean:.3g}" for one in found.rewards)
    return [f"  held-out prompts  reward {found.reward:.3f} an answer ({rules}), to {found.prompts} prompts"]


def _answer_lines(answers: AnswersResult | None) -> list[str]:
    """How the model's own answers compare to what is held out, and what needs no model beside."""
    if answers is None:
        return []
    lines = [f"  answers           {_scores(answers.said())} of 100, in {answers.written:,} of its own"]
    without = [
        ("the source itself", answers.said_by(COPIED)),
        (f"its first {answers.lead_words} words", answers.said_by(LEAD)),
    ]
    if told := "; ".join(f"{what}: {_scores(scores)}" for what, scores in without if scores):
        lines.append(f"  without a model   {told}")
    return lines


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {score:.1f}" for name, score in scores.items())


def opens_export(job: Job) -> str:
    """The call that opens what a job exports, in the words of plain libraries.

    Args:
        job: whose model is built in, or was inspected.
    """
    spec = parse_spec(job.spec, strict=False)
    if spec.model.adapter is not None and not spec.output.merged:
        return 'PeftModel.from_pretrained(base, ..., subfolder="adapter")'
    facts = job.status.resolved.model if job.status.resolved else None
    task = task_of(spec, facts.shape if facts else shape_of(spec))
    return f"{task.auto_class}.from_pretrained(...)"


def succeeded(
    results: Results | None,
    root: Path,
    seconds: float | None,
    *,
    opens: str,
    talks: bool = False,
    own: bool = False,
) -> list[str]:
    """What was learnt and where everything lies.

    Args:
        results: of the job.
        root: its output.
        seconds: that it took, if it ran just now.
        opens: see `opens_export`.
        talks: whether dialogues were trained on, so that one can be had.
        own: whether a program of one's own ran, which leaves what it wants to.
    """
    took = "done" if seconds is None else f"done in {duration_text(seconds)}"
    if results is None:
        return [f"{took}; everything lies in {root}"]
    if own:
        work = f": {results.work}" if results.work else ""
        return [
            f"{took}{work}",
            "",
            f"  {root / 'program'}  what the program wrote",
            f"  {root / 'logs'}  every rank's log",
        ]
    lines = [f"{took}: {results.work}"]
    if results.eval_loss is not None and results.perplexity is not None:
        lines.append(
            f"  held-out loss     {results.eval_loss:.3f} nat a token, perplexity {results.perplexity:.2f}"
        )
    if results.eval_loss is not None and results.unigram_entropy is not None:
        beyond = results.unigram_entropy - results.eval_loss
        learnt = f"so {beyond:.3f} was learnt beyond counts" if beyond > 0 else "not reached yet"
        lines.append(f"  unigram entropy   {results.unigram_entropy:.3f} nat a token, {learnt}")
    lines += [f"    {one.name}: {_measured(one)}" for one in results.sources]
    lines += [f"  on {one.name:<14} {_measured(one)}{_compared(one)}" for one in results.datasets]
    lines += _task_lines(results.tasks)
    lines += _preference_lines(results) + _kto_lines(results) + _reinforcement_lines(results)
    lines += _answer_lines(results.answers)
    lines += _data_lines(results.data)
    if results.sample and results.sample.strip():
        lines += ["  sample", *(f"    {line}" for line in results.sample.strip().splitlines())]
    lines += ["", f"  llmtrain chat {root}  talks with it"] if talks and not results.measured else []
    if (pushed := results.published) is not None:
        told = pushed.url or f"not to {pushed.target}: {pushed.error}"
        lines.append(f"  published         {told}")
    made = [
        f"  {root / 'export'}  Hugging Face folder: {opens}",
        f"  {root / 'checkpoints'}  newest steps, each with a manifest",
        f"  {root / 'logs'}  every rank's log and metrics.jsonl",
    ]
    return [*lines, "", *([] if results.measured else made), f"  {root / 'results.json'}  these numbers"]
