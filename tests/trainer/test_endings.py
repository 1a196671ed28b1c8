"""Endings that are not success: each with its exit code and a message that says what to do."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.builders import job
from harness.children import environment
from harness.trainer.launches import Launch, alive

from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.telemetry.heartbeat import path_of, read

OTHER = "22222222-aaaa-4bbb-8ccc-000000000000"


def test_an_old_writer_commits_nothing_after_a_newer_fence(work: Path) -> None:
    old = Launch(work, job(work / "output", training={"maxSteps": 5000}, checkpoint={"everySteps": 5}))
    try:
        old.until(lambda: old.output.committed(), "a first checkpoint")
        raise_fence(old.output, job(work / "output", attempt=1), "newer")
        before = old.output.committed()
        assert old.wait() == 93, old.text()
        assert old.message()["outcome"] == "Fenced"
        # a retention run may still be under way at the moment of the fence; nothing may be added
        assert set(old.output.committed()) <= set(before)
        assert [p.name for p in old.output.checkpoints.glob(".attempt-*")] == [".attempt-1-11111111-newer"]
    finally:
        old.end()


def test_a_killed_rank_is_named_and_nothing_is_left(work: Path) -> None:
    launch = Launch(work, job(work / "output", training={"maxSteps": 5000}))
    try:
        launch.until(lambda: launch.output.committed(), "a first checkpoint")
        _, *workers = launch.descendants()
        victim = workers[1]
        os.kill(victim, signal.SIGKILL)
        assert launch.wait() == 1
        message = launch.message()
        assert message["message"].endswith("was killed by signal 9 (out of memory or kill -9)"), message
        assert message["exitCode"] == -9
        assert message["checkpointStep"] >= 10
        assert not message["cascade"]
        assert not [pid for pid in workers if alive(pid)]
        assert where_they_are(launch).count("no process; it has not begun, or has ended") == 2
    finally:
        launch.end()


@pytest.mark.proof
def test_noise_cannot_be_learnt_on_two_nodes(work: Path) -> None:
    """If held-out data leaked into training or labels were not shifted, this loss would fall.

    Two launchers, of which the second starts first and has to wait for node 0's data.
    """
    asked = job(
        work / "output",
        model={"name": "builtin://tiny-gpt2", "numKvHeads": None, "vocabSize": 300},
        dataset={"name": "builtin://random-tokens", "maxBytes": 400_000},
        training={"maxSteps": 80, "learningRate": 3e-3, "globalBatchSize": 7, "precision": "bf16"},
        nodes=2,
        processesPerNode=1,
    )
    nodes = [Launch(work, asked, node=node) for node in (1, 0)]
    try:
        assert [node.wait() for node in nodes] == [0, 0], [node.text() for node in nodes]
        results = json.loads(nodes[0].output.results.read_text())
        assert math.log(300) - 0.05 <= results["evalLoss"] <= math.log(300) + 0.5
        assert [node.message()["outcome"] for node in nodes] == ["Complete", "Complete"]
        assert "results" not in nodes[0].message()
        assert nodes[1].message()["results"]["steps"] == 80
    finally:
        for node in nodes:
            node.end()


def test_a_wrong_job_file_ends_with_78(work: Path) -> None:
    launch = Launch(work, job(work / "output").model_copy(update={"version": 9}))
    assert launch.wait() == 78
    assert launch.message()["failureClass"] == "ConfigError"
    assert "version" in launch.message()["message"]


def test_too_little_text_ends_with_78(work: Path) -> None:
    text = work / "text"
    text.mkdir(parents=True)
    (text / "a.txt").write_text("too short")
    launch = Launch(work, job(work / "output", dataset={"name": f"file://{text}"}))
    assert launch.wait() == 78, launch.text()
    message = launch.message()
    assert message["failureClass"] == "ConfigError"
    assert "too small" in message["message"]
    assert not launch.output.complete.exists()


def test_another_jobs_output_ends_with_78_and_names_the_owner(work: Path) -> None:
    claim(job(work / "output"))
    launch = Launch(work, job(work / "output", uid=OTHER, name="second"))
    assert launch.process.wait(20) == 78, launch.text()
    message = launch.message()
    assert "belongs to job default/run" in message["message"]
    assert "output.ifExists" in message["hint"]


def test_an_output_that_another_job_took_over_ends_the_job_at_once(work: Path) -> None:
    """Not one of 50 restarts could get it back."""
    asked = job(work / "output")
    claim(asked)
    claim(job(work / "output", uid=OTHER, name="heir", output={"ifExists": "resume"}))
    late = Launch(work, asked)
    try:
        assert late.wait() == 78, late.text()
        message = late.message()
        assert (message["outcome"], message["failureClass"]) == ("Failed", "ConfigError")
        assert "was taken over by job default/heir" in message["message"]
        assert "output.uri" in message["hint"]
    finally:
        late.end()


def test_a_node_whose_peer_is_late_waits_before_torchrun(work: Path) -> None:
    """Node 1's pod is still in a queue: nothing of node 0 may run out of time meanwhile."""
    asked = job(work / "output", nodes=2, processesPerNode=1, training={"maxSteps": 5})
    first = Launch(work, asked)
    late = None
    try:
        up = first.output.root / first.output.up(0, 0, asked.job.uid)
        first.until(lambda: first.output.ready(0).exists() and up.exists(), "the start")
        first.until(lambda: "waiting for the other nodes" in first.text(), "word of the missing node")
        assert first.descendants() == []
        late = Launch(work, asked, node=1)
        assert first.wait() == 0, first.text()
        assert late.wait() == 0, late.text()
    finally:
        for one in filter(None, (first, late)):
            one.end()


def where_they_are(launch: Launch) -> str:
    """What `stacks` prints beside a launch."""
    command = [sys.executable, "-m", "llmtrain_trainer", "stacks", str(launch.path)]
    return subprocess.run(command, env=environment(), text=True, capture_output=True, check=True).stdout


def test_a_rank_that_is_stopped_is_found_and_every_stack_is_in_the_logs(work: Path) -> None:
    asked = job(work / "output", training={"maxSteps": 100_000}, recovery={"stepTimeoutSeconds": 15})
    launch = Launch(work, asked)
    try:
        launch.until(lambda: launch.output.committed(), "a first checkpoint")
        pulses = [read(path_of(asked.scratch, asked.attempt, rank), rank) for rank in (0, 1)]
        workers = [pulse.pid for pulse in pulses if pulse]
        told = where_they_are(launch)
        assert told.count("most recent call first") >= 2
        assert [f"rank {rank}, process {workers[rank]}: " in told for rank in (0, 1)] == [True, True]
        os.kill(workers[1], signal.SIGSTOP)
        told = where_they_are(launch)
        assert "it is stopped by a signal" in told.split("rank 1, ")[1]
        assert launch.wait() == 1, launch.text()
        message = launch.message()
        assert (message["failureClass"], message["rank"], message["cascade"]) == ("Hang", 1, False), message
        assert "its process is stopped by a signal" in message["message"]
        assert "recovery.stepTimeoutSeconds" in message["hint"]
        assert message["checkpointStep"] >= 10
        stacks = launch.output.rank_log(0, 0).read_text()
        assert "most recent call first" in stacks
        assert "forward_backward_step" in stacks or "agree" in stacks
        assert not [pid for pid in workers if alive(pid)]
    finally:
        launch.end()
