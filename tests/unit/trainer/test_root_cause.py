"""Why an attempt failed, from what its ranks left behind."""

from __future__ import annotations

import pytest

from llmtrain_api import FailureClass
from llmtrain_trainer.launch.root_cause import RankEnd, exit_codes, rendezvous_failure, root_cause

ECHO = "[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1234"
CAUSES = {
    "an exception": ([RankEnd(0, 1, 5.0, "ValueError", "boom")], 1, "UserError", 0, False, "boom"),
    "the earliest of two": (
        [RankEnd(0, 1, 9.0, "ValueError", "late"), RankEnd(1, 1, 5.0, "KeyError", "early")],
        1, "UserError", 1, False, "KeyError: early",
    ),
    "an echo that came first": (
        [RankEnd(0, 1, 4.0, "RuntimeError", ECHO), RankEnd(1, 1, 5.0, "ValueError", "boom")],
        1, "UserError", 1, False, "ValueError: boom",
    ),
    "a killed rank beside an echo": (
        [RankEnd(0, 1, 4.0, "RuntimeError", ECHO), RankEnd(1, -9)],
        1, "Unknown", 1, False, "rank 1 was killed by signal 9 (out of memory or kill -9)",
    ),
    "a crash beside a stopped peer": (
        [RankEnd(0, -15), RankEnd(1, -11)], 1, "Unknown", 1, False, "killed by signal 11 (SIGSEGV)",
    ),
    "only echoes: the cause is on another node": (
        [RankEnd(0, 1, 4.0, "RuntimeError", ECHO), RankEnd(1, -15)], 1, "Unknown", 0, True, "closed by peer",
    ),
    "only stopped": ([RankEnd(2, -15)], 1, "Unknown", 2, True, "stopped from outside"),
    "torchrun killed": (
        [RankEnd(0), RankEnd(1)], -9, "Unknown", None, False,
        "torchrun was killed by signal 9 (out of memory or kill -9)",
    ),
    "host memory": ([RankEnd(0, 1, 5.0, "MemoryError", "")], 1, "OutOfMemory", 0, False, "MemoryError"),
    "allocator": (
        [RankEnd(0, 1, 5.0, "RuntimeError", "DefaultCPUAllocator: can't allocate memory: 8 bytes")],
        1, "OutOfMemory", 0, False, "allocate",
    ),
    "device memory": (
        [RankEnd(3, 1, 5.0, "OutOfMemoryError", "CUDA out of memory.")], 1, "OutOfMemory", 3, False, "CUDA",
    ),
    "configuration": (
        [RankEnd(0, 78, 5.0, "ConfigError", "wrong", "do this")], 1, "ConfigError", 0, False, "wrong",
    ),
    "diverged": (
        [RankEnd(0, 1, 5.0, "DivergedError", "step 7: the loss is nan", "lower training.learningRate")],
        1, "Diverged", 0, False, "step 7",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CAUSES)
def test_root_cause(name: str) -> None:
    ends, code, failure_class, rank, cascade, text = CAUSES[name]
    verdict = root_cause(ends, code)
    assert verdict.failure_class == failure_class
    assert (verdict.rank, verdict.cascade) == (rank, cascade)
    assert text in verdict.message
    if failure_class == FailureClass.OUT_OF_MEMORY:
        assert "microBatchSize" in verdict.hint


def test_exit_codes_are_read_from_torchruns_summary() -> None:
    summary = """
Failures:
[1]:
  time      : 2026-01-01_00:00:00
  host      : here
  rank      : 1 (local_rank: 1)
  exitcode  : -15 (pid: 12)  (SIGTERM)
  error_file: <N/A>
Root Cause (first observed failure):
[0]:
  rank      : 10 (local_rank: 0)
  exitcode  : 1 (pid: 11)
"""
    assert exit_codes(summary) == {1: -15, 10: 1}


def test_a_rendezvous_that_timed_out_is_no_failure_of_the_code() -> None:
    """What torch 2.13 writes."""
    log = (
        "torch.distributed.DistStoreError: Timed out after 901 seconds waiting for clients. "
        "1/2 clients joined."
    )
    verdict = rendezvous_failure(log, 2)
    assert verdict is not None
    assert (verdict.failure_class, verdict.cascade) == (FailureClass.INFRASTRUCTURE, True)
    assert "1 of 2 nodes joined within 901 s" in verdict.message
    assert rendezvous_failure("ValueError: boom", 2) is None
