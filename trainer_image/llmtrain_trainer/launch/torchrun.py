"""This node's ranks: torchrun and its workers, from start to a verdict."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from llmtrain_api import JobFile, Outcome
from llmtrain_api.names import EXIT_CONFIG

from .. import log, process
from ..cores import cores, threads_of_rank
from ..errors import ConfigError, Fenced, Interrupted, OutputTaken, SaveFailed
from ..output import Output
from ..records import RankRecord, read_record
from ..telemetry.bar import screen
from ..telemetry.log_tail import Tail
from .compiler import private_cache
from .disk_full import HINT, disk_full, is_full, no_space
from .hang import HangWatch, dump_stacks
from .root_cause import RankEnd, Verdict, classify, exit_codes, rendezvous_failure, root_cause

POLL = 0.1
RENDEZVOUS_TIMEOUT = 900
"""Seconds for torchruns to meet. All launchers run by then, so only a node that died meanwhile is late."""
TAIL = 2000


class Failed(Exception):
    """A stage or the ranks failed, with the root cause found."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class Stop:
    """SIGTERM to the launcher."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: object) -> None:
        """Signal handler: only notes; the loop that waits passes it on."""
        self.asked = True

    def raise_if_asked(self) -> None:
        """End here, with nothing to save.

        Raises:
            Interrupted: when asked to stop.
        """
        if self.asked:
            raise Interrupted("asked to stop before training began")


def environment() -> dict[str, str]:
    """What our children see: no hub, no thread contention, DeepSpeed on the hardware that is there."""
    env = dict(os.environ)
    env.setdefault("PYTHONUNBUFFERED", "1")
    env["PYTHONSAFEPATH"] = "1"  # a torch.py in the working folder, where downloads go, is no code of ours
    env.setdefault("TOKENIZERS_PARALLELISM", "true")
    # torch warns of renamed collectives that DeepSpeed still calls: nothing a user could act on
    env.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")
    env.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    if not process.has_gpu():
        env["DS_ACCELERATOR"] = "cpu"
    return env


def run_stage(
    verb: str, job_path: str, more: list[str], path: Path, stop: Stop, folders: list[Path], wrote: Path | None
) -> None:
    """Run a verb of this program in its own process and wait for it.

    Args:
        verb: of the command line.
        job_path: ``job.json``.
        more: arguments.
        path: of its log.
        stop: whether SIGTERM came.
        folders: that it writes to.
        wrote: the folder that it makes.

    Raises:
        ConfigError: it found a mistake in the configuration.
        Interrupted: asked to stop meanwhile.
        Failed: anything else.
    """
    command = [sys.executable, "-m", "llmtrain_trainer", verb, job_path, *more]
    child = process.start(command, environment(), path)
    while child.poll() is None:
        if stop.asked:
            process.signal_each([child.pid], signal.SIGKILL)  # it has nothing to save
            child.wait()
            raise Interrupted(f"asked to stop while {verb} ran")
        time.sleep(POLL)
    if child.returncode:
        text = tail_of(path)
        if is_full(last_line(text)) or no_space(folders):
            raise disk_full(verb, folders, wrote)
        raise _stage_failure(verb, child.returncode, text)


def last_line(text: str) -> str:
    """The last line that is not blank: Python ends with the exception."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _stage_failure(verb: str, code: int, text: str) -> Exception:
    last = last_line(text)
    if code == EXIT_CONFIG:
        return ConfigError(last.removeprefix("error: "))
    if code < 0:
        verdict = root_cause([], code)
        message = verdict.message.replace("torchrun", verb)
        return Failed(replace(verdict, message=message, log_tail=text))
    kind, _, message = last.partition(": ")
    found = classify(kind.rpartition(".")[2], message)
    return Failed(
        Verdict(
            found.failure_class,
            f"{verb}: {last}",
            found.hint,
            exit_code=code,
            log_tail=text,
            reason=found.reason,
        )
    )


def torchrun_command(job: JobFile, node_rank: int, *program: str) -> list[str]:
    """torchrun with a static rendezvous: a restart is the operator's work, under a new attempt.

    Args:
        job: whose ranks meet.
        node_rank: of this node.
        program: what each rank runs.
    """
    meet = job.rendezvous
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes", str(job.spec.nodes), "--node-rank", str(node_rank)),
        *("--nproc-per-node", str(job.spec.local_world_size)),
        *("--master-addr", meet.master_address, "--master-port", str(meet.master_port)),
        *("--rdzv-id", meet.id, "--max-restarts", "0", "--monitor-interval", "0.1"),
        *("--rdzv-conf", f"timeout={RENDEZVOUS_TIMEOUT}"),
        *program,
    ]


class Torchrun:
    """torchrun on this node."""

    def __init__(self, job: JobFile, job_path: str, output: Output, node_rank: int, stop: Stop) -> None:
        self.job, self.job_path, self.output, self.stop = job, job_path, output, stop
        self.node_rank = node_rank
        self.ranks = job.ranks_of(node_rank)
        self.log = output.logs(job.attempt) / f"torchrun-{node_rank}.log"

    def command(self) -> list[str]:
        """What is started on this node."""
        program = ("-m", "llmtrain_trainer.training.rank", self.job_path)
        return torchrun_command(self.job, self.node_rank, *program)

    def environment(self) -> dict[str, str]:
        """What torchrun and its ranks see."""
        env = environment()
        threads = threads_of_rank(self.job.spec, cores())
        env.setdefault("OMP_NUM_THREADS", str(threads))
        private_cache(env, self.job.scratch, threads)
        return env

    def run(self) -> None:
        """Start torchrun, wait, leave no process behind, judge.

        Raises:
            Interrupted: asked to stop, here or on another node; what could be saved is saved.
            Fenced: a newer attempt writes.
            Failed: the ranks failed.
        """
        before = frozenset(process.children(os.getpid()))
        torchrun = process.start(self.command(), self.environment(), self.log)
        seen = screen()
        shown = Tail(self.output.rank_log(self.job.attempt, self.ranks[0]), seen.show)
        asked, watch, hung = False, HangWatch(self.job, self.ranks), None
        try:
            while torchrun.poll() is None and hung is None:
                if self.stop.asked and not asked:
                    asked = True
                    self._pass_on(torchrun)
                if not asked:
                    hung = watch.look(process.children(torchrun.pid))
                time.sleep(POLL)
            if hung is not None:
                self._end_hung(torchrun)
        finally:
            orphans = process.kill_orphans(spare=before)
            shown.close()
            seen.close()
        if orphans:
            log.get().warning("killed processes that torchrun left behind", count=orphans)
        if hung is not None:
            shown_rank = self.ranks[0] if hung.rank is None else hung.rank
            raise Failed(hung.with_tail(tail_of(self.output.rank_log(self.job.attempt, shown_rank))))
        self._judge(torchrun.returncode)

    def _end_hung(self, torchrun: subprocess.Popen[bytes]) -> None:
        """Ranks that hang save nothing any more: they tell where they are, and end."""
        workers = process.children(torchrun.pid)
        log.get().warning("a rank does not go on; all of them write their stacks and end")
        dump_stacks(workers, [self.output.rank_log(self.job.attempt, rank) for rank in self.ranks])
        process.signal_each([*workers, torchrun.pid], signal.SIGKILL)
        torchrun.wait()

    def _pass_on(self, torchrun: subprocess.Popen[bytes]) -> None:
        """SIGTERM goes to the ranks, not to torchrun, which would kill them 30 s later, saved or not."""
        workers = process.children(torchrun.pid)
        log.get().info("asked to stop; ranks save a checkpoint", ranks=len(workers))
        process.signal_each(workers or [torchrun.pid], signal.SIGTERM)

    def _judge(self, code: int) -> None:
        raw = {rank: self._record(rank) for rank in self.ranks}
        records = [record for record in raw.values() if record]
        fenced = [record for record in records if record.outcome is Outcome.FENCED]
        if fenced:
            taken = [record for record in fenced if record.type == OutputTaken.__name__]
            raise OutputTaken(taken[0].message) if taken else Fenced(fenced[0].message)
        for record in records:
            if record.outcome is Outcome.INTERRUPTED:
                raise Interrupted(record.message)
        if code == 0 and self.stop.asked:
            raise Interrupted("asked to stop; training was finished already")
        if code == 0:
            return
        self._require_room(records)
        codes = exit_codes(tail_of(self.log, 20_000))
        ends = [self._end(rank, raw[rank], codes.get(rank)) for rank in self.ranks]
        alone = not records and rendezvous_failure(tail_of(self.log, 20_000), self.job.spec.nodes)
        verdict = alone or root_cause([end for end, rank in ends if rank], code)
        if not verdict.log_tail:
            shown = self.ranks[0] if verdict.rank is None else verdict.rank
            path = self.output.rank_log(self.job.attempt, shown)
            verdict = verdict.with_tail(tail_of(path) or tail_of(self.log))
        if self.stop.asked:
            raise Interrupted(f"asked to stop; nothing was saved: {verdict.message}")
        raise Failed(verdict)

    def _require_room(self, records: list[RankRecord]) -> None:
        """What a rank that failed says of a full disk, or what is seen where none could say anything."""
        folders = [self.output.root, Path(self.job.scratch)]
        failed = [record for record in records if record.outcome is Outcome.FAILED]
        full = next((record for record in failed if is_full(record.message)), None)
        if full is not None and full.type == SaveFailed.__name__:
            raise ConfigError(full.message, HINT)
        if full is not None or (not records and no_space(folders)):
            raise disk_full("training", folders)

    def _record(self, rank: int) -> RankRecord | None:
        try:
            return read_record(self.output.rank_end(self.job.attempt, rank), RankRecord)
        except ValueError as error:  # as if the rank had been killed while it wrote
            log.get().warning("the record of a rank's end cannot be read", rank=rank, error=str(error))
            return None

    def _end(self, rank: int, record: RankRecord | None, code: int | None) -> tuple[RankEnd, bool]:
        """A rank's end, and whether it is one of those that did not succeed."""
        if record is None:
            return RankEnd(rank, code, log_tail=tail_of(self.output.rank_log(self.job.attempt, rank))), True
        end = RankEnd(rank, code, record.time, record.type, record.message, record.hint, record.traceback)
        return end, record.outcome is not Outcome.COMPLETE


def tail_of(path: Path, size: int = TAIL) -> str:
    """The last bytes of a log as text, without colours; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return re.sub(r"\x1b\[[0-9;]*m", "", file.read().decode(errors="replace"))
    except OSError:
        return ""
