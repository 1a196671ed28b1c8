"""PID 1 of a worker pod: claim, fence, prepare, torchrun, export. Never imports torch.

Node 0 claims the output, raises the fence, prepares the data and chooses the checkpoint; every launcher
waits for its ``attempt-K.ready`` marker, so that no rank burns the rendezvous while data are prepared.
Whatever happens, a termination message says how it ended and no process is left behind.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from llmtrain_api import FailureClass, JobFile, Outcome, ProgressUpdate, Results, Stage, TerminationMessage
from llmtrain_api.names import ENV_NODE_RANK, EXIT_CONFIG, EXIT_FENCED, EXIT_INTERRUPTED

from .. import log, process
from ..checkpoint.fence import Fence
from ..data.store import Marker, fingerprints, read_marker, reusable
from ..errors import ConfigError, Fenced, Interrupted
from ..files import read_json
from ..output import Output
from ..storage.select import output_store_of
from ..storage.start_marker import NodeZeroFailed, Start
from ..telemetry.reporter import Reporter
from ..training.rank import read_job
from . import root_cause
from .compiler import require_compiler
from .root_cause import Verdict
from .termination import write_termination
from .torchrun import Failed, Stop, Torchrun, run_stage

READY_DEADLINE = 3600.0
NAME_DEADLINE = 120.0
EXIT_CODES = {Outcome.COMPLETE: 0, Outcome.FENCED: EXIT_FENCED, Outcome.INTERRUPTED: EXIT_INTERRUPTED}


class Launcher:
    """One node's part of one attempt."""

    def __init__(self, job: JobFile, path: str, node_rank: int) -> None:
        self.job, self.path, self.node_rank = job, path, node_rank
        self.stop = Stop()
        self.store = output_store_of(job)
        self.start: Start | None = None

    def run(self) -> TerminationMessage:
        """The whole attempt; every ending is a message."""
        try:
            return self._message(Outcome.COMPLETE, results=self._attempt())
        except Interrupted as error:
            return self._message(Outcome.INTERRUPTED, message=str(error))
        except Fenced as error:
            return self._message(Outcome.FENCED, message=str(error))
        except Failed as error:
            return self._failed(error.verdict)
        except ConfigError as error:
            verdict = Verdict(FailureClass.CONFIG_ERROR, error.message, error.hint, exit_code=EXIT_CONFIG)
            return self._failed(verdict)
        except NodeZeroFailed as error:
            return self._failed(Verdict(FailureClass.UNKNOWN, f"node 0: {error}", cascade=True))
        except Exception as error:
            if self.stop.asked:
                return self._message(Outcome.INTERRUPTED, message=str(error))
            failure_class, hint = root_cause.classify(type(error).__name__, str(error))
            return self._failed(Verdict(failure_class, f"{type(error).__name__}: {error}", hint))

    def _attempt(self) -> Results | None:
        if self.node_rank == 0:
            output = self.store.claim()
            done = self.store.finished()
            if done:
                log.get().info("this job is complete already", output=str(output.root))
                return done
            self.start = self._prepare(self.store.raise_fence())
        else:
            self.start = self._await_start()
        self._await_master()
        log.get().info("starting torchrun", node_rank=self.node_rank, nodes=self.job.spec.nodes)
        Torchrun(self.job, self.path, self.start.output, self.node_rank, self.stop).run()
        if self.node_rank:
            return None
        return self._export(self.start)

    def _prepare(self, fence: Fence) -> Start:
        """Node 0: everything that must be there before a rank starts."""
        try:
            if self.job.spec.training.compile:
                require_compiler()
            self.store.bring_data(fence)
            marker = self._data(fence)
            self.store.keep_data(fence)
            prints = fingerprints(self.job, marker)
            start = self._choose(fence, prints)
            self.store.announce(start)
            return start
        except (ConfigError, Failed) as error:
            self.store.announce_failure(str(error))
            raise

    def _choose(self, fence: Fence, prints: dict[str, Any]) -> Start:
        torn: list[int] = []

        def pass_over(step: int, reason: str) -> None:
            torn.append(step)
            log.get().warning("checkpoint is torn and passed over", step=step, reason=reason)

        resume = self.store.choose(fence, prints, pass_over)
        start = Start(fence, resume, prints, tuple(torn))
        note = start.note(self.job.layout)
        if resume:
            log.get().info("going on from a checkpoint", step=resume.step, **({"note": note} if note else {}))
        elif note:
            log.get().warning("no checkpoint to go on from", note=note)
        return start

    def _data(self, fence: Fence) -> Marker:
        """The data of an earlier attempt, or new ones: into the attempt's folder, then one rename."""
        output = fence.output
        marker, reason = reusable(output.data, self.job, has_checkpoints=bool(self.store.committed()))
        if marker:
            log.get().info("prepared data are reused", **marker.report)
            return marker
        log.get().info("preparing data", reason=reason, dataset=self.job.spec.dataset.said)
        reporter = Reporter(self.job, Stage.PREPARE)
        reporter.update(urgent=True)
        folder = fence.folder / "data"
        try:
            self._stage("prepare", output, ["--into", str(folder)])
        finally:
            reporter.close()
        if output.data.exists():
            output.data.rename(fence.folder / "old-data")
        fence.commit("data", output.data)
        marker = read_marker(output.data)
        if marker is None:
            raise RuntimeError("the data stage left no marker")
        log.get().info("data prepared", **marker.report)
        return marker

    def _export(self, start: Start) -> Results:
        reporter = Reporter(self.job, Stage.EXPORT)
        reporter.update(self._steps(), urgent=True)
        try:
            log.get().info("exporting")
            self.store.before_export(start)
            self._stage("export", start.output, [])
            results = Results.model_validate(read_json(start.output.results) or {})
            self.store.complete(start, results)
            reporter.update(
                ProgressUpdate(eval_loss=results.eval_loss, perplexity=results.perplexity), urgent=True
            )
            return results
        finally:
            reporter.close()

    def _stage(self, verb: str, output: Output, more: list[str]) -> None:
        path = output.logs(self.job.attempt) / f"{verb}.log"
        run_stage(verb, self.path, more, path, self.stop)

    def _steps(self) -> ProgressUpdate:
        newest = self.store.committed()
        if not newest:
            return ProgressUpdate()
        return ProgressUpdate(step=newest[0], total_steps=newest[0], checkpoint_step=newest[0])

    def _await_start(self) -> Start:
        """Other nodes: wait for node 0's word."""
        until, said = time.monotonic() + READY_DEADLINE, 0.0
        while time.monotonic() < until:
            self.stop.raise_if_asked()
            start = self.store.heard()
            if start:
                return start
            if time.monotonic() - said > 30:
                said = time.monotonic()
                log.get().info("waiting for node 0 to prepare the data")
            time.sleep(self.store.poll)
        raise TimeoutError(f"node 0 did not get ready within {READY_DEADLINE:.0f} s")

    def _await_master(self) -> None:
        """A new pod's name takes a while to resolve; torchrun itself would give up at once."""
        name, until = self.job.rendezvous.master_address, time.monotonic() + NAME_DEADLINE
        while True:
            try:
                socket.getaddrinfo(name, self.job.rendezvous.master_port)
                return
            except OSError as error:
                if time.monotonic() > until:
                    raise TimeoutError(f"{name} does not resolve: {error}") from None
            self.stop.raise_if_asked()
            time.sleep(0.5)

    def _failed(self, verdict: Verdict) -> TerminationMessage:
        return self._message(
            Outcome.FAILED,
            failure_class=verdict.failure_class,
            rank=verdict.rank,
            exit_code=verdict.exit_code,
            cascade=verdict.cascade,
            message=verdict.message,
            hint=verdict.hint or None,
            log_tail=verdict.log_tail or None,
        )

    def _message(self, outcome: Outcome, **fields: Any) -> TerminationMessage:
        committed = self.store.committed()
        # unvalidated: texts may still be too long, and are cut when written
        return TerminationMessage.model_construct(
            outcome=outcome,
            resumed_step=self.start.done if self.start else None,
            checkpoint_step=committed[0] if committed else None,
            **fields,
        )


def launch(path: str) -> int:
    """Run one node of an attempt and write its termination message; the exit code."""
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
    launcher = Launcher(job, str(Path(path).resolve()), node_rank)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, launcher.stop.ask)
    message = launcher.run()
    process.kill_orphans()
    launcher.store.keep_logs()
    write_termination(message)
    _say(message)
    if message.failure_class is FailureClass.CONFIG_ERROR:
        return EXIT_CONFIG
    return EXIT_CODES.get(message.outcome, 1)


def _say(message: TerminationMessage) -> None:
    fields = {k: v for k, v in message.to_json().items() if k not in ("version", "results", "outcome")}
    if message.outcome is Outcome.FAILED:
        log.get().error("attempt failed", **fields)
    else:
        log.get().info(f"attempt ended: {message.outcome}", **fields)
