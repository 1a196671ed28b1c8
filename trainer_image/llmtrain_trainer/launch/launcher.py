"""PID 1 of a worker pod: walks the stages of an attempt. Never imports torch.

Node 0 claims the output, raises the fence, prepares the data and chooses the checkpoint; every other launcher
waits until that is published, and all wait for each other, so that no rank burns torchrun's time.
Whatever happens, a termination message says how it ended and no process is left behind.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from llmtrain_api import FailureClass, JobFile, Outcome, TerminationMessage
from llmtrain_api.messages import MAX_CHECKPOINTS
from llmtrain_api.names import ENV_NODE_RANK, EXIT_CONFIG, EXIT_FENCED, EXIT_INTERRUPTED

from .. import log, process
from ..errors import ConfigError, Fenced, Interrupted, OutputTaken
from ..job_file import read_job
from ..storage.select import output_store_of
from ..storage.start_marker import NodeZeroFailed
from . import root_cause
from .attempt import Attempt
from .disk_full import disk_full, is_full
from .gang import GangLost
from .hold import hold
from .root_cause import Verdict
from .stages import stages_of, walk
from .termination import write_termination
from .torchrun import Failed, Stop

EXIT_CODES = {Outcome.COMPLETE: 0, Outcome.FENCED: EXIT_FENCED, Outcome.INTERRUPTED: EXIT_INTERRUPTED}
TAKEN = "give this job another output.uri; what it trained until then is in the other job's hands"


class Launcher:
    """One node's part of one attempt, or the preparation of its data alone."""

    def __init__(self, job: JobFile, path: str, node_rank: int, *, only_prepare: bool = False) -> None:
        self.job, self.stop = job, Stop()
        self.attempt = Attempt(job, path, node_rank, output_store_of(job), self.stop, only_prepare)

    def run(self) -> TerminationMessage:
        """The whole attempt; every ending is a message."""
        try:
            self._walk()
            return self._message(Outcome.COMPLETE, results=self.attempt.results)
        except Exception as error:
            return self._ended(error)
        finally:
            if self.attempt.presence:
                self.attempt.presence.close()
            if self.attempt.trackers:
                self.attempt.trackers.close(complete=self.attempt.results is not None)

    def upload_logs(self) -> None:
        """Store this node's logs, where there is an output."""
        if self.attempt.claimed:
            self.attempt.claimed.upload_logs()

    def _walk(self) -> None:
        attempt = self.attempt
        try:
            for _ in walk(attempt, stages_of(attempt)):
                attempt.stop.raise_if_asked()
        except (ConfigError, Failed) as error:
            nobody_waits = attempt.only_prepare or attempt.start is not None
            if attempt.claimed and attempt.fence and not nobody_waits:
                attempt.claimed.publish_failure(str(error))
            raise

    def _ended(self, error: Exception) -> TerminationMessage:
        """The message of whatever ended the attempt before its end."""
        if isinstance(error, Interrupted):
            return self._message(Outcome.INTERRUPTED, message=str(error))
        if isinstance(error, OutputTaken):
            verdict = Verdict(FailureClass.CONFIG_ERROR, str(error), TAKEN, exit_code=EXIT_CONFIG)
            return self._failed(verdict)
        if isinstance(error, Fenced):
            return self._message(Outcome.FENCED, message=str(error))
        if isinstance(error, Failed):
            return self._failed(error.verdict)
        if isinstance(error, ConfigError):
            return self._config_error(error)
        if isinstance(error, NodeZeroFailed | GangLost):
            return self._failed(Verdict(FailureClass.UNKNOWN, f"node 0: {error}", cascade=True))
        if self.stop.asked:
            return self._message(Outcome.INTERRUPTED, message=str(error))
        if is_full(error):
            folders = [Path(self.job.output), Path(self.job.scratch)]
            return self._config_error(disk_full("the launcher", folders))
        kind = type(error).__name__
        found = root_cause.classify(kind, str(error))
        return self._failed(Verdict(found.failure_class, f"{kind}: {error}", found.hint, reason=found.reason))

    def _config_error(self, error: ConfigError) -> TerminationMessage:
        return self._failed(
            Verdict(FailureClass.CONFIG_ERROR, error.message, error.hint, exit_code=EXIT_CONFIG)
        )

    def _failed(self, verdict: Verdict) -> TerminationMessage:
        return self._message(
            Outcome.FAILED,
            failure_class=verdict.failure_class,
            rank=verdict.rank,
            exit_code=verdict.exit_code,
            cascade=verdict.cascade,
            message=verdict.message,
            hint=verdict.hint or None,
            reason=verdict.reason or None,
            log_tail=verdict.log_tail or None,
            waits_in=verdict.waits_in,
        )

    def _message(self, outcome: Outcome, **fields: Any) -> TerminationMessage:
        committed, own = self.attempt.committed(), self.job.spec.entrypoint is not None
        # unvalidated: texts may still be too long, and are cut when written
        return TerminationMessage.model_construct(
            outcome=outcome,
            resumed_step=self.attempt.start.done if self.attempt.start and not own else None,
            checkpoint_step=committed[0] if committed else None,
            checkpoints=committed[:MAX_CHECKPOINTS] or None,
            **fields,
        )


def launch(path: str, *, only_prepare: bool = False) -> int:
    """Run one node of an attempt and write its termination message; the exit code.

    Args:
        path: ``job.json``.
        only_prepare: end once the data are prepared.
    """
    process.adopt_orphans()
    node_rank = int(os.environ.get(ENV_NODE_RANK, "0"))
    log.configure()
    try:
        job = read_job(path)
    except ConfigError as error:
        write_termination(
            TerminationMessage.model_construct(
                outcome=Outcome.FAILED, failure_class=FailureClass.CONFIG_ERROR, message=str(error)
            )
        )
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CONFIG
    log.configure(job=job.job.name, attempt=job.attempt)
    launcher = Launcher(job, str(Path(path).resolve()), node_rank, only_prepare=only_prepare)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, launcher.stop.ask)
    message = launcher.run()
    process.kill_orphans()
    launcher.upload_logs()
    write_termination(message)
    _log_ending(message)
    if not only_prepare:
        hold(job, message, launcher.stop)
    if message.failure_class is FailureClass.CONFIG_ERROR:
        return EXIT_CONFIG
    return EXIT_CODES.get(message.outcome, 1)


def _log_ending(message: TerminationMessage) -> None:
    fields = {k: v for k, v in message.to_json().items() if k not in ("version", "results", "outcome")}
    if message.outcome is Outcome.FAILED:
        log.get().error("attempt failed", **fields)
    else:
        log.get().info(f"attempt ended: {message.outcome}", **fields)
