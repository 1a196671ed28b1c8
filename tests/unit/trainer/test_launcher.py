"""The launcher walks a table of stages, and every ending is a message of its class."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from harness.builders import UID, job

from llmtrain_api import FailureClass, JobFile, Outcome
from llmtrain_trainer.checkpoint.fence import raise_fence
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.errors import Fenced, OutputTaken
from llmtrain_trainer.launch.attempt import Attempt
from llmtrain_trainer.launch.launcher import Launcher
from llmtrain_trainer.launch.stages import ONLY_PREPARE, STAGES, On, StageRow, walk
from llmtrain_trainer.launch.torchrun import Stop
from llmtrain_trainer.storage.select import output_store_of
from llmtrain_trainer.storage.start_marker import NodeZeroFailed, Start

OTHER = "22222222-aaaa-4bbb-8ccc-000000000000"


def attempt(asked: JobFile, node: int = 0, *, only_prepare: bool = False) -> Attempt:
    return Attempt(asked, "job.json", node, output_store_of(asked), Stop(), only_prepare)


def names(asked: JobFile, node: int = 0) -> list[str]:
    one = attempt(asked, node)
    return [stage.name for stage in STAGES if stage.applies(one)]


def test_which_stages_run_on_which_node(tmp_path: Path) -> None:
    alone, gang = job(tmp_path / "a"), job(tmp_path / "a", nodes=2, processesPerNode=1)
    first = ["claim", "fence", "prepare", "start"]
    assert names(alone) == [*first, "resolve", "train", "export"]
    assert names(gang) == [*first, "gather", "resolve", "train", "export"]
    assert names(gang, 1) == ["join", "gather", "resolve", "train"]
    assert "compiler" in names(job(tmp_path / "a", training={"compile": True}))


def test_before_there_is_a_gang_only_the_data_are_prepared(tmp_path: Path) -> None:
    one = attempt(job(tmp_path / "a", nodes=2, processesPerNode=1), only_prepare=True)
    assert [s.name for s in ONLY_PREPARE if s.applies(one)] == ["claim", "fence", "prepare"]
    raise_fence_of(one)
    assert one.presence is None, "the other nodes of the gang that comes must not take it for node 0"


def raise_fence_of(one: Attempt) -> None:
    for stage in ONLY_PREPARE[:2]:
        stage.run(one)


def test_what_cannot_be_prepared_before_the_gang_is_no_news_for_its_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = job(tmp_path / "output", nodes=2, processesPerNode=1, training={"compile": True})
    monkeypatch.setenv("CXX", "no-such-compiler")
    message = Launcher(asked, "job.json", 0, only_prepare=True).run()
    assert message.failure_class is FailureClass.CONFIG_ERROR
    assert Launcher(asked, "job.json", 1).attempt.store.read_start(1) is None


def test_of_two_that_prepare_and_a_gang_the_last_writes(tmp_path: Path) -> None:
    """A pod of a lost node may be alive: whoever comes later fences it, and none prepares beside a gang."""
    asked = job(tmp_path / "output")
    old, new, gang = attempt(asked, only_prepare=True), attempt(asked, only_prepare=True), attempt(asked)
    for one in (old, new, gang):
        raise_fence_of(one)
    for one in (old, new):
        assert one.fence is not None
        with pytest.raises(Fenced):
            one.fence.commit("data", one.fence.output.data)
    assert gang.claimed is not None
    assert gang.fence is not None
    gang.claimed.publish_start(Start(gang.fence, None, {}))
    late = Launcher(asked, "job.json", 0, only_prepare=True).run()
    assert late.outcome is Outcome.FENCED
    gang.fence.check()


def test_what_a_stage_needs_an_earlier_one_leaves() -> None:
    for on in (On.NODE_0, On.OTHERS):
        there: set[str] = set()
        for stage in STAGES:
            if stage.on in (on, On.ALL):
                assert set(stage.needs) <= there, (on, stage.name)
                there |= set(stage.leaves)


def test_a_stage_that_leaves_nothing_is_found_out(tmp_path: Path) -> None:
    rows = (StageRow("lazy", On.ALL, lambda _: None, leaves=("data",)),)
    with pytest.raises(RuntimeError, match="`data`"):
        list(walk(attempt(job(tmp_path / "a")), rows))


def test_an_output_that_another_job_took_over_ends_the_job(tmp_path: Path) -> None:
    asked = job(tmp_path / "output")
    fence = raise_fence(claim(asked), asked, "pod")
    claim(job(tmp_path / "output", uid=OTHER, name="heir", output={"ifExists": "resume"}))
    with pytest.raises(OutputTaken):
        fence.check()
    message = Launcher(asked, "job.json", 0).run()
    assert (message.outcome, message.failure_class) == (Outcome.FAILED, FailureClass.CONFIG_ERROR)
    assert "was taken over by job default/heir" in message.message


def test_a_newer_attempt_of_the_same_job_is_fenced_only(tmp_path: Path) -> None:
    newer = job(tmp_path / "output", attempt=1)
    raise_fence(claim(newer), newer, "pod")
    message = Launcher(job(tmp_path / "output"), "job.json", 0).run()
    assert (message.outcome, message.failure_class) == (Outcome.FENCED, None)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, FailureClass.CONFIG_ERROR),
        (errno.EIO, FailureClass.INFRASTRUCTURE),
        (errno.ENOENT, FailureClass.USER_ERROR),
    ],
)
def test_a_full_disk_is_final_and_a_broken_volume_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: FailureClass
) -> None:
    def fail(_: JobFile) -> None:
        raise OSError(number, "the disk says no")

    monkeypatch.setattr("llmtrain_trainer.storage.folder.claim", fail)
    message = Launcher(job(tmp_path), "job.json", 0).run()
    assert message.failure_class is expected
    assert ("is full" in message.message) is (number == errno.ENOSPC)


def test_what_node_0_could_not_do_the_others_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = job(tmp_path / "output", nodes=2, processesPerNode=1, training={"compile": True})
    monkeypatch.setenv("CXX", "no-such-compiler")
    message = Launcher(asked, "job.json", 0).run()
    assert message.failure_class is FailureClass.CONFIG_ERROR
    other = Launcher(asked, "job.json", 1)
    with pytest.raises(NodeZeroFailed, match="no-such-compiler"):
        other.attempt.store.read_start(1)
    message = other.run()
    assert message.cascade
    assert claim(asked).up(0, 1, UID) == f"logs/attempt-0/node-1.{UID}.up"
