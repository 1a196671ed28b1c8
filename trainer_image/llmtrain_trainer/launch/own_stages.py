"""Stages of a program of one's own, beside those that it shares with the trainer."""

from __future__ import annotations

from llmtrain_api import Results

from .. import log
from ..storage.start_marker import Start
from .attempt import Attempt, required
from .program import Program


def publish_start(attempt: Attempt) -> None:
    """Let all nodes start: there are no data to prepare, and the program itself looks what it saved."""
    claimed, fence = required(attempt.claimed, "claimed"), required(attempt.fence, "fence")
    attempt.start = Start(fence, None, {})
    claimed.publish_start(attempt.start)


def run_program(attempt: Attempt) -> None:
    """Run this node's part of the program; on node 0 its end is the end of the job."""
    if attempt.presence:
        attempt.presence.close()
    job, start = attempt.job, required(attempt.start, "start")
    log.get().info("starting the program", node_rank=attempt.node_rank, nodes=job.spec.nodes)
    program = Program(job, start, attempt.node_rank, attempt.stop)
    program.run()
    attempt.told_step = program.relay.step if program.relay else None


def finish(attempt: Attempt) -> None:
    """Put on record that the work is done."""
    results = Results(steps=attempt.told_step)
    required(attempt.claimed, "claimed").complete(required(attempt.start, "start"), results)
    attempt.results = results
