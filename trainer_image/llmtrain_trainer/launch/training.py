"""Stages from torchrun on: the ranks train, then node 0 exports; or it measures, and nobody trains."""

from __future__ import annotations

from llmtrain_api import ProgressUpdate, Results, Stage, changed
from llmtrain_api.schema.publish import PublishSpec

from .. import log
from ..errors import ConfigError
from ..export.publish.provider import failed
from ..files import read_json, write_json
from ..records import PublishedRecord, record_or_none
from ..storage.base import ClaimedOutput
from ..storage.start_marker import Start
from ..telemetry.reporter import Reporter
from .attempt import Attempt, required
from .tasks import measure_tasks
from .torchrun import Failed, Torchrun
from .tracking import Trackers


def track(attempt: Attempt) -> None:
    """Begin to tell trackers of experiments."""
    output = required(attempt.start, "start").output
    attempt.trackers = Trackers(attempt.job, attempt.path, output)


def train(attempt: Attempt) -> None:
    """Run this node's ranks."""
    if attempt.presence:
        attempt.presence.close()
    job, start = attempt.job, required(attempt.start, "start")
    log.get().info("starting torchrun", node_rank=attempt.node_rank, nodes=job.spec.nodes)
    Torchrun(job, attempt.path, start.output, attempt.node_rank, attempt.stop).run()


def measure(attempt: Attempt) -> None:
    """Measure the model as it is, and put on record that the work is done."""
    claimed, start = required(attempt.claimed, "claimed"), required(attempt.start, "start")
    reporter = Reporter(attempt.job, Stage.EVALUATE)
    reporter.update(urgent=True)
    try:
        attempt.run_verb("measure", [])
        if attempt.job.spec.evaluation.tasks is not None:
            measure_tasks(attempt, attempt.job.spec.evaluation.tasks)
        attempt.results = _completed(claimed, start, reporter)
    finally:
        reporter.close()


def export(attempt: Attempt) -> None:
    """Write the trained model as a folder that anybody can load, and put on record that the work is done."""
    claimed, start, job = required(attempt.claimed, "claimed"), required(attempt.start, "start"), attempt.job
    reporter = Reporter(job, Stage.EXPORT)
    newest = claimed.committed()[:1]
    steps = {name: newest[0] for name in ("step", "total_steps", "checkpoint_step") if newest}
    reporter.update(ProgressUpdate(**steps), urgent=True)
    try:
        log.get().info("exporting")
        claimed.before_export(start)
        attempt.run_verb("export", [], wrote=start.fence.folder / "export")
        if job.spec.evaluation.tasks is not None:
            measure_tasks(attempt, job.spec.evaluation.tasks)
        if job.spec.output.publish is not None:
            publish(attempt, job.spec.output.publish)
        attempt.results = _completed(claimed, start, reporter)
    finally:
        reporter.close()


def publish(attempt: Attempt, asked: PublishSpec) -> None:
    """Push the export, and put into the results what became of that: a place that says no, or that is away,
    is no failure of the job, whose model is there."""
    output = required(attempt.start, "start").output
    try:
        attempt.run_verb("publish", [])
        record = record_or_none(output.published, PublishedRecord)
        told = record.published if record is not None and record.job_uid == attempt.job.job.uid else None
        error = "the process that pushes has left no word"
    except (ConfigError, Failed) as failure:
        told, error = None, str(failure)
    if told is None:
        told = failed(asked, error)
    results = Results.model_validate(read_json(output.results) or {})
    write_json(output.results, changed(results, published=told).to_json())


def _completed(claimed: ClaimedOutput, start: Start, reporter: Reporter) -> Results:
    """Put on record that the work is done, with the results that a verb has left."""
    results = Results.model_validate(read_json(start.output.results) or {})
    claimed.complete(start, results)
    losses = ProgressUpdate(eval_loss=results.eval_loss, perplexity=results.perplexity)
    reporter.update(losses, urgent=True)
    return results
