"""The trainer's pure parts: batches, order, schedule, root cause, termination message."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import FailureClass, Outcome, Results, TerminationMessage
from llmtrain_trainer.batch import BatchPlan, Length
from llmtrain_trainer.data.order import permuted, sample_at
from llmtrain_trainer.data.sources import is_held_out
from llmtrain_trainer.launch.root_cause import RankEnd, exit_codes, root_cause
from llmtrain_trainer.launch.termination import encode
from llmtrain_trainer.log import sentence

sizes = st.integers(1, 70)


@given(sizes, sizes, sizes, st.data())
def test_every_sample_has_one_slot_at_any_world_size(
    batch: int, micro: int, ranks: int, data: st.DataObject
) -> None:
    plan = BatchPlan(batch, micro, ranks)
    count = data.draw(st.integers(1, batch))
    rows = [plan.slots(rank, count) for rank in range(ranks)]
    assert {len(r) for r in rows} == {plan.accumulation}
    assert {len(m) for r in rows for m in r} == {plan.micro}
    assert plan.micro <= micro
    placed = [place for r in rows for m in r for place in m if place is not None]
    assert sorted(placed) == list(range(count))


def test_an_odd_batch_is_balanced() -> None:
    plan = BatchPlan(global_batch=5, micro_batch=8, ranks=2)
    assert (plan.micro, plan.accumulation) == (3, 1)
    assert plan.slots(0) == [[0, 2, 4]]
    assert plan.slots(1) == [[1, 3, None]]


def test_length_by_steps_and_by_epochs() -> None:
    by_steps = Length(samples=10, global_batch=4, max_steps=7, epochs=None)
    assert (by_steps.steps, by_steps.consumed(7)) == (7, 28)
    by_epochs = Length(samples=10, global_batch=4, max_steps=None, epochs=2)
    assert (by_epochs.steps, by_epochs.consumed(5)) == (5, 20)
    ragged = Length(samples=9, global_batch=4, max_steps=None, epochs=None)
    assert (ragged.steps, ragged.consumed(2), ragged.consumed(3)) == (3, 8, 9)


@given(st.integers(1, 500), st.integers(0, 2**31 - 1), st.integers(0, 50))
def test_an_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    assert sorted(permuted(i, size, seed, epoch) for i in range(size)) == list(range(size))


def test_the_order_never_changes() -> None:
    """A resume on a newer version must go on where the old one stopped."""
    assert [sample_at(i, 10, 7) for i in range(20)] == PINNED
    assert [sample_at(i, 10, 8) for i in range(10)] != PINNED[:10]


PINNED = [2, 4, 6, 1, 5, 3, 7, 0, 9, 8, 6, 3, 2, 0, 9, 8, 1, 7, 4, 5]


def test_copies_of_a_document_fall_on_one_side() -> None:
    sides = [is_held_out(f"document {i}", 0.2) for i in range(2000)]
    assert sides == [is_held_out(f"document {i}", 0.2) for i in range(2000)]
    assert 300 < sum(sides) < 500


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


def test_a_termination_message_always_fits() -> None:
    message = TerminationMessage.model_construct(
        outcome=Outcome.FAILED,
        failure_class=FailureClass.USER_ERROR,
        message="m" * 5000 + "\u00e9" * 3000,
        hint="h" * 5000,
        log_tail="\u00e9\u4e16" * 5000 + "the end",
        results=Results.model_construct(steps=1, sample="\U0001f600" * 4096),
    )
    body = encode(message)
    assert len(body) <= 4096
    read = TerminationMessage.model_validate_json(body)
    assert read.outcome is Outcome.FAILED
    assert read.failure_class is FailureClass.USER_ERROR
    assert read.message.startswith("mmm")


def test_a_person_reads_progress_as_a_sentence() -> None:
    event = {
        "event": "step", "step": 20, "total_steps": 200, "loss": 3.14159, "learning_rate": 1e-3,
        "tokens_per_second": 12345.6, "eta_seconds": 62.0,
    }  # fmt: skip
    assert sentence(event) == ("step  20/200   10%  loss 3.142  lr 1.00e-03  12,346 tokens/s  ETA 0:01:02")
    assert json.dumps(event)


@pytest.mark.parametrize("module", ["llmtrain_trainer.launch.launcher", "llmtrain_trainer.__main__"])
def test_the_launcher_never_imports_torch(module: str) -> None:
    code = (
        f"import sys, {module}; print([m for m in ('torch', 'numpy', 'transformers', 'deepspeed') "
        "if m in sys.modules])"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"
