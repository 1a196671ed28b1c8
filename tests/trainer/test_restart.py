"""Stop, kill and go on: the weights must be those of a run that nobody disturbed."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from harness.builders import job
from harness.trainer.launches import Launch, alive
from trainer.conftest import Operator

from llmtrain_trainer.checkpoint.manifest import newest_good
from llmtrain_trainer.output import Output

STEPS = {"maxSteps": 60, "zeroStage": 1}
"""So that each rank has files of its own in a checkpoint."""


@dataclass(frozen=True)
class Disturbed:
    """Three attempts of one job.

    Attributes:
        attempts: their launchers.
        workers: ranks of the second attempt.
        left: those that were still there after its launcher had ended.
        newest: step of its last checkpoint, which was then torn.
    """

    attempts: list[Launch]
    workers: list[int]
    left: list[int]
    newest: int


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    work = tmp_path_factory.mktemp("undisturbed")
    launch = Launch(work, job(work / "output", training=STEPS))
    try:
        assert launch.wait() == 0, launch.text()
        yield launch
    finally:
        launch.end()


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory, undisturbed: Launch) -> Iterator[Disturbed]:
    """The same job: SIGTERM in attempt 0, kill -9 of torchrun in 1, a torn checkpoint before 2."""
    work = tmp_path_factory.mktemp("disturbed")
    output = Output(work / "output")
    shutil.copytree(undisturbed.output.data, output.data)
    attempts: list[Launch] = []

    def launch(attempt: int) -> Launch:
        attempts.append(Launch(work, job(output.root, attempt=attempt, training=STEPS)))
        return attempts[-1]

    try:
        first = launch(0)
        first.until(lambda: output.step(10).exists(), "step 10")
        first.process.send_signal(signal.SIGTERM)
        first.wait()
        second = launch(1)
        after = (newest_good(output, lambda *_: None) or (0,))[0]
        second.until(lambda: max(output.committed(), default=0) > after, "a newer checkpoint")
        torchrun, *workers = second.descendants()
        os.kill(torchrun, signal.SIGKILL)
        second.wait()
        left, newest = [pid for pid in workers if alive(pid)], output.committed()[0]
        torn = output.step(newest) / "state" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
        torn.write_bytes(torn.read_bytes()[:-100])
        launch(2).wait()
        yield Disturbed(attempts, workers, left, newest)
    finally:
        for one in attempts:
            one.end()


def test_sigterm_saves_and_says_interrupted(disturbed: Disturbed) -> None:
    first = disturbed.attempts[0]
    message = first.message()
    assert first.process.returncode == 75, first.text()
    assert message["outcome"] == "Interrupted"
    assert message["checkpointStep"] >= 10
    assert f"saved at step {message['checkpointStep']}" in message["message"]


def test_killing_torchrun_leaves_no_worker_and_a_message(disturbed: Disturbed) -> None:
    second = disturbed.attempts[1]
    assert len(disturbed.workers) == 2
    assert disturbed.left == []
    message = second.message()
    assert second.process.returncode == 1
    assert message["outcome"] == "Failed"
    assert "signal 9 (out of memory or kill -9)" in message["message"]
    assert message["resumedStep"] == disturbed.attempts[0].message()["checkpointStep"]


def test_a_torn_checkpoint_is_passed_over(disturbed: Disturbed) -> None:
    third, newest = disturbed.attempts[2], disturbed.newest
    assert third.process.returncode == 0, third.text()
    assert 0 < third.message()["resumedStep"] < newest
    assert "checkpoint is torn and passed over" in third.text()


def test_the_result_is_bit_equal(undisturbed: Launch, disturbed: Disturbed) -> None:
    assert disturbed.attempts[2].process.returncode == 0, disturbed.attempts[2].text()
    compared = 0
    for name in (
        "mp_rank_00_model_states.pt",
        "zero_pp_rank_0_mp_rank_00_optim_states.pt",
        "zero_pp_rank_1_mp_rank_00_optim_states.pt",
    ):
        old, new = (
            torch.load(x.output.step(60) / "state" / name, weights_only=False)
            for x in (undisturbed, disturbed.attempts[2])
        )
        pairs = list(zip(tensors(old), tensors(new), strict=True))
        compared += len(pairs)
        assert all(torch.equal(a, b) for a, b in pairs), name
    assert compared > 20
    weights = [
        (x.output.export / "model.safetensors").read_bytes() for x in (undisturbed, disturbed.attempts[2])
    ]
    assert weights[0] == weights[1]


def tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from tensors(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)


@pytest.mark.proof
def test_fewer_ranks_go_on_exactly(undisturbed: Launch, tmp_path: Path, operator: Operator) -> None:
    """Two ranks with ZeRO 1, kill -9, one rank with ZeRO 0: the losses of the run that nobody disturbed."""
    output = Output(tmp_path / "output")
    shutil.copytree(undisturbed.output.data, output.data)
    launched = [Launch(tmp_path, job(output.root, training=STEPS))]
    [first] = launched
    port = operator.server.server_address[1]
    alone = job(output.root, attempt=1, training={"maxSteps": 60}, processesPerNode=1)
    try:
        first.until(lambda: output.step(10).exists(), "step 10")
        os.kill(first.descendants()[0], signal.SIGKILL)
        first.wait()
        second = Launch(tmp_path, alone, report={"url": f"http://127.0.0.1:{port}"})
        launched.append(second)
        assert second.wait() == 0, second.text()
    finally:
        for one in launched:
            one.end()
    done = second.message()["resumedStep"]
    assert 10 <= done < 60
    note = "from layout dp2 zero1 to dp1 zero0"
    assert note in second.text()
    assert any(r.get("resumedNote") == note for r in operator.reports if r["attempt"] == 1)
    right, found = losses(undisturbed, 0), losses(second, 1)
    assert found.keys() == set(range(done + 1, 61))
    assert max(abs(found[step] / right[step] - 1) for step in found) <= 1e-5


def losses(launch: Launch, attempt: int) -> dict[int, float]:
    """By step."""
    rows = (launch.output.logs(attempt) / "metrics.jsonl").read_text().splitlines()
    return {row["step"]: row["loss"] for row in map(json.loads, rows)}


def test_the_launcher_logs_lie_in_the_output(disturbed: Disturbed) -> None:
    root = Path(disturbed.attempts[2].job.output)
    assert {p.name for p in (root / "logs").iterdir()} == {"attempt-0", "attempt-1", "attempt-2"}
