"""A program of one's own on this node: from its start to a verdict.

Nothing of it is known but what it prints, how it ends, and the steps that it tells of.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from llmtrain_api import FailureClass, JobFile, Starter, kubeflow
from llmtrain_api.names import ENV_ATTEMPT, ENV_OUTPUT

from .. import log, process
from ..cores import cores, threads_of_rank
from ..errors import Fenced, Interrupted, OutputTaken
from ..storage.start_marker import Start
from ..telemetry.bar import screen
from ..telemetry.log_tail import Tail
from .relay import Relay
from .root_cause import RankEnd, Verdict, exit_codes, rendezvous_failure, root_cause, told_by_python
from .torchrun import POLL, Failed, Stop, tail_of, torchrun_command

ENV_LOGS = "LLMTRAIN_LOGS"
TO_ITS_LOG = f'exec "$@" >>"${ENV_LOGS}/rank-$RANK.log" 2>&1'
"""Shell: what a rank runs, with all that it prints in a log of its own."""
FENCE_SECONDS = 5.0
DUMP_SECONDS = 2.0


def torch_environment(job: JobFile, node_rank: int) -> dict[str, str]:
    """The variables by which programs find their gang. torchrun sets those of each rank itself.

    PET_* are torchrun's own arguments: a program that starts torchrun itself meets its gang by them.
    """
    meet, spec = job.rendezvous, job.spec
    processes = spec.gpus_per_node or spec.processes_per_node
    found = {
        "MASTER_ADDR": meet.master_address,
        "MASTER_PORT": str(meet.master_port),
        "NODE_RANK": str(node_rank),
        "NNODES": str(spec.nodes),
        "PET_NNODES": str(spec.nodes),
        "PET_NODE_RANK": str(node_rank),
        "PET_NPROC_PER_NODE": str(processes),
        "PET_MASTER_ADDR": meet.master_address,
        "PET_MASTER_PORT": str(meet.master_port),
        "PET_RDZV_ID": meet.id,
        "PET_MAX_RESTARTS": "0",
    }
    if _starts_itself(job):
        alone = {"RANK": node_rank, "WORLD_SIZE": spec.nodes, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1}
        found |= {name: str(value) for name, value in alone.items()}
    return found


def _starts_itself(job: JobFile) -> bool:
    return job.spec.entrypoint is not None and job.spec.entrypoint.starter is Starter.NONE


class Program:
    """The program of ``spec.entrypoint`` on this node.

    Attributes:
        relay: takes its reports; None on nodes whose ranks make none, and where nobody is told.
    """

    def __init__(self, job: JobFile, start: Start, node_rank: int, stop: Stop) -> None:
        self.job, self.start, self.node_rank, self.stop = job, start, node_rank, stop
        self.output = start.output
        self.ranks = job.ranks_of(node_rank)
        self.log = self.output.logs(job.attempt) / f"torchrun-{node_rank}.log"
        self.relay = Relay(job.report) if job.report and node_rank == 0 else None
        self._fence_due, self._fenced = 0.0, False

    def command(self) -> list[str]:
        """What is started on this node."""
        assert self.job.spec.entrypoint is not None
        rank = ["/bin/sh", "-c", TO_ITS_LOG, "rank", *self.job.spec.entrypoint.words]
        if _starts_itself(self.job):
            return rank
        return torchrun_command(self.job, self.node_rank, "--no-python", *rank)

    def environment(self) -> dict[str, str]:
        """What the program sees."""
        env = dict(os.environ)
        # of the image, for the trainer: a script finds the modules beside it
        env.pop("PYTHONSAFEPATH", None)
        # python3 and torchrun are those that run this
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)])
        env.setdefault("PYTHONUNBUFFERED", "1")
        env.setdefault("PYTHONFAULTHANDLER", "1")  # a rank that hangs tells where it is
        env.setdefault("OMP_NUM_THREADS", str(threads_of_rank(self.job.spec, cores())))
        env |= torch_environment(self.job, self.node_rank)
        env |= {ENV_OUTPUT: str(self.output.program), ENV_ATTEMPT: str(self.job.attempt)}
        env[ENV_LOGS] = str(self.output.logs(self.job.attempt))
        if self.relay is not None and self.job.report is not None:
            env |= {
                kubeflow.ENV_URL: self.relay.url,
                kubeflow.ENV_TOKEN_FILE: self.job.report.token_file or "",
                kubeflow.ENV_CA_FILE: self.job.report.ca_file or "",
            }
        return env

    def run(self) -> None:
        """Start the program, wait, leave no process behind, judge.

        Raises:
            Interrupted: asked to stop; what was saved is the program's business.
            Fenced: a newer attempt writes.
            Failed: it failed, or does not go on.
        """
        self.output.program.mkdir(parents=True, exist_ok=True)
        self.output.logs(self.job.attempt).mkdir(parents=True, exist_ok=True)
        before = frozenset(process.children(os.getpid()))
        child = process.start(self.command(), self.environment(), self.log)
        seen = screen()
        shown = Tail(self.output.rank_log(self.job.attempt, self.ranks[0]), seen.show)
        try:
            self._wait(child)
        finally:
            if child.poll() is None:
                process.signal_each([child.pid], signal.SIGKILL)
                child.wait()
            orphans = process.kill_orphans(spare=before)
            shown.close()
            seen.close()
            if self.relay is not None:
                self.relay.close()
        if orphans:
            log.get().warning("killed processes that the program left behind", count=orphans)
        self._judge(child.returncode)

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        asked = False
        while child.poll() is None:
            if self.stop.asked and not asked:
                asked = True
                log.get().info("asked to stop; the program gets SIGTERM")
                process.signal_each(self._workers(child), signal.SIGTERM)
            self._keep_fence(time.monotonic())
            hung = None if asked else hang(self.relay, self.job)
            if hung is not None:
                self._end_hung(child)
                raise Failed(hung.with_tail(tail_of(self.output.rank_log(self.job.attempt, self.ranks[0]))))
            time.sleep(POLL)

    def _keep_fence(self, now: float) -> None:
        """A program knows no fence: it is ended once a newer attempt writes, which is seen twice, as a disk
        that does not answer looks the same."""
        if now < self._fence_due:
            return
        self._fence_due = now + FENCE_SECONDS
        try:
            self.start.fence.check()
            self._fenced = False
        except (Fenced, OutputTaken):
            if self._fenced:
                raise
            self._fenced = True

    def _workers(self, child: subprocess.Popen[bytes]) -> list[int]:
        """Processes of the ranks: torchrun itself would kill them 30 s after its own SIGTERM."""
        if _starts_itself(self.job):
            return [child.pid]
        return process.children(child.pid) or [child.pid]

    def _end_hung(self, child: subprocess.Popen[bytes]) -> None:
        """Python writes the stack of each thread on SIGABRT, into the rank's log."""
        log.get().warning("the program does not go on; its ranks write their stacks and end")
        workers = self._workers(child)
        process.signal_each(workers, signal.SIGABRT)
        until = time.monotonic() + DUMP_SECONDS
        while time.monotonic() < until and child.poll() is None:
            time.sleep(0.05)
        process.signal_each([*workers, child.pid], signal.SIGKILL)
        child.wait()

    def _judge(self, code: int) -> None:
        if self.stop.asked:
            raise Interrupted("asked to stop; what the program has saved is in its folder")
        if code == 0:
            return
        told = tail_of(self.log, 20_000)
        codes = {self.ranks[0]: code} if _starts_itself(self.job) else exit_codes(told)
        ends = [self._end(rank, codes.get(rank)) for rank in self.ranks]
        alone = None if any(end.exit_code for end in ends) else rendezvous_failure(told, self.job.spec.nodes)
        verdict = alone or root_cause(ends, code)
        raise Failed(verdict if verdict.log_tail else verdict.with_tail(told[-2000:]))

    def _end(self, rank: int, code: int | None) -> RankEnd:
        """What is known of a rank's end: it writes no record, but Python ends a log with the exception."""
        path = self.output.rank_log(self.job.attempt, rank)
        tail = tail_of(path)
        kind, message = told_by_python(tail) if code is not None and code > 0 else ("", "")
        return RankEnd(rank, code, _written(path), kind, message, log_tail=tail)


def hang(relay: Relay | None, job: JobFile) -> Verdict | None:
    """Whether a program that tells of its steps has fallen silent; None for one that tells of none.

    Its evaluations and saves are between two steps as well, so that it has the time of those.
    """
    silence = relay.silence() if relay is not None else None
    recovery = job.spec.recovery
    most = recovery.step_timeout_seconds or recovery.stage_timeout_seconds
    if relay is None or silence is None or silence <= most:
        return None
    return Verdict(
        FailureClass.HANG,
        f"the program has told of no step for {silence:.0f} s, after step {relay.step}",
        "the stacks of the ranks of node 0 are at the end of their logs; where it only needs more time "
        "between two steps, set recovery.stepTimeoutSeconds",
    )


def _written(path: Path) -> float | None:
    """When a log was written last: about when its rank ended."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def saved_steps(folder: Path) -> list[int]:
    """Steps of the checkpoints that Hugging Face's Trainer has finished in a folder, newest first: it writes
    ``trainer_state.json`` after the weights."""
    found = [
        path.parent.name.removeprefix("checkpoint-")
        for path in folder.glob("checkpoint-*/trainer_state.json")
    ]
    return sorted((int(step) for step in found if step.isdigit()), reverse=True)
