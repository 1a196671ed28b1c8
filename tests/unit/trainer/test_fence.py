"""Whose the output is and who may commit: real files, real renames, no torch."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job_file, least_spec

from llmtrain_api import JobFile, Layout, Results
from llmtrain_trainer.checkpoint import fence as fence_module
from llmtrain_trainer.checkpoint.fence import Fence, raise_fence
from llmtrain_trainer.checkpoint.manifest import MANIFEST, Manifest, newest_good, require_same
from llmtrain_trainer.checkpoint.ownership import claim, owned, uri_of
from llmtrain_trainer.checkpoint.resume import Resume
from llmtrain_trainer.errors import ConfigError, Fenced, OutputTaken
from llmtrain_trainer.files import inventory, write_json
from llmtrain_trainer.output import Output
from llmtrain_trainer.storage.folder import ClaimedFolder
from llmtrain_trainer.storage.start_marker import NodeZeroFailed, Start, publish_failure, read_start

FIRST, SECOND = "aaaaaaaa-1", "bbbbbbbb-2"


def job(root: Path, uid: str = FIRST, attempt: int = 0, if_exists: str = "fail") -> JobFile:
    asked = least_spec(output={"uri": "pvc://claim/run", "ifExists": if_exists})
    return job_file(asked, root / "run", attempt=attempt, uid=uid, name=f"job-{uid[:1]}")


def start(root: Path, attempt: int = 0, holder: str = "pod0", **more: Any) -> Fence:
    asked = job(root, attempt=attempt, **more)
    return raise_fence(claim(asked), asked, holder)


def written(fence: Fence, step: int, content: str = "weights") -> str:
    folder = fence.folder / f"step-{step}"
    folder.mkdir()
    (folder / "file").write_text(content)
    files = inventory(folder)
    write_json(folder / MANIFEST, {"step": step, "files": files, "worldSize": 2, "fingerprints": {"seed": 0}})
    return folder.name


def test_a_commit_is_one_rename(tmp_path: Path) -> None:
    fence = start(tmp_path)
    fence.commit(written(fence, 5), fence.output.step(5))
    assert fence.output.committed() == [5]
    assert json.loads(fence.output.fence.read_text()) == {"jobUid": FIRST, "attempt": 0, "holder": "pod0"}


def test_an_old_writer_cannot_commit_after_a_newer_fence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the fence goes up between the old writer's check and its rename."""
    old = start(tmp_path)
    name = written(old, 5)
    check = Fence.check

    def raced(self: Fence) -> None:
        check(self)
        start(tmp_path, attempt=1, holder="pod1")

    monkeypatch.setattr(Fence, "check", raced)
    with pytest.raises(Fenced):
        old.commit(name, old.output.step(5))
    assert old.output.committed() == []


def test_a_descriptor_of_the_old_folder_makes_nothing_new(tmp_path: Path) -> None:
    """DeepSpeed makes missing folders. Through the open folder it cannot make ours again."""
    old = start(tmp_path)
    fd = os.open(old.folder, os.O_RDONLY | os.O_DIRECTORY)
    start(tmp_path, attempt=1, holder="pod1")
    with pytest.raises(FileNotFoundError):
        os.makedirs(f"/proc/self/fd/{fd}/step-5/state", exist_ok=True)
    os.close(fd)
    assert not old.folder.exists()
    with pytest.raises(Fenced):
        old.check()


def test_a_late_start_of_an_old_attempt_is_refused(tmp_path: Path) -> None:
    newer = start(tmp_path, attempt=2, holder="pod2")
    with pytest.raises(Fenced):
        start(tmp_path, attempt=1, holder="pod1")
    newer.check()
    newer.commit(written(newer, 7), newer.output.step(7))


def test_two_starts_at_once_never_leave_the_old_one_able_to_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer attempt starts in full at each point where the older one touches the disk."""
    points = [(name, call) for name in ("mkdir", "write_json", "glob") for call in range(2)]
    for number, (point, call) in enumerate(points):
        root = tmp_path / str(number)
        claim(job(root))
        interrupted: dict[str, Fence] = {}

        calls = itertools.count()

        def newer(
            root: Path = root,
            interrupted: dict[str, Fence] = interrupted,
            calls: Iterator[int] = calls,
            call: int = call,
        ) -> None:
            if not interrupted and next(calls) == call:
                interrupted["newer"] = None  # type: ignore[assignment]
                interrupted["newer"] = start(root, attempt=1, holder="pod1")

        with monkeypatch.context() as patch:
            if point == "write_json":
                patch.setattr(fence_module, "write_json", before(newer, fence_module.write_json))
            else:
                patch.setattr(Path, point, before(newer, getattr(Path, point)))
            try:
                old: Fence | None = start(root, attempt=0, holder="pod0")
            except Fenced:
                old = None
        if not interrupted:
            continue  # there is no such call
        fence = interrupted["newer"]
        if old is not None:
            name = written(old, 5) if old.folder.exists() else "step-5"
            with pytest.raises(Fenced):
                old.commit(name, old.output.step(5))
        assert fence.output.committed() == [], point
        fence.commit(written(fence, 6), fence.output.step(6))


def before(act: Any, real: Any) -> Any:
    def wrapped(*arguments: Any, **more: Any) -> Any:
        act()
        return real(*arguments, **more)

    return wrapped


def test_another_pod_of_the_same_attempt_takes_over(tmp_path: Path) -> None:
    old = start(tmp_path, holder="pod0")
    start(tmp_path, holder="pod0-again")
    with pytest.raises(Fenced):
        old.check()


def test_fail_names_the_owner_and_the_fix(tmp_path: Path) -> None:
    claim(job(tmp_path))
    with pytest.raises(ConfigError) as error:
        claim(job(tmp_path, SECOND))
    assert "default/job-a" in error.value.message
    assert "output.ifExists" in error.value.hint


def test_new_goes_beside_and_every_restart_finds_it(tmp_path: Path) -> None:
    claim(job(tmp_path))
    beside = [claim(job(tmp_path, SECOND, attempt, "new")).root.name for attempt in range(3)]
    assert beside == ["run-bbbbbbbb"] * 3
    found = owned(job(tmp_path, SECOND, 9, "new"))
    assert found is not None
    assert found.root.name == "run-bbbbbbbb"
    assert claim(job(tmp_path, FIRST, 4, "new")).root.name == "run"


def test_new_in_a_whole_claim_stays_in_the_volume(tmp_path: Path) -> None:
    asked = job(tmp_path, SECOND, 0, "new")
    output = asked.spec.output.model_copy(update={"uri": "pvc://claim"})
    asked = asked.model_copy(update={"spec": asked.spec.model_copy(update={"output": output})})
    claim(job(tmp_path))
    root = claim(asked).root
    assert root == tmp_path / "run" / "run-bbbbbbbb"
    assert uri_of(asked, root) == "pvc://claim/run-bbbbbbbb"
    assert uri_of(job(tmp_path), tmp_path / "run-bbbbbbbb") == "pvc://claim/run-bbbbbbbb"


def test_resume_takes_over_and_the_old_job_cannot_take_back(tmp_path: Path) -> None:
    old = start(tmp_path)
    old.commit(written(old, 5), old.output.step(5))
    write_json(old.output.complete, {"jobUid": FIRST})
    new = start(tmp_path, holder="pod9", uid=SECOND, if_exists="resume")
    assert new.output == old.output
    assert not new.output.complete.exists()
    assert new.output.committed() == [5]
    with pytest.raises(Fenced):
        old.check()
    with pytest.raises(Fenced):
        claim(job(tmp_path, FIRST, 1, "resume"))


def test_a_new_owner_is_enough_to_stop_the_old_writer(tmp_path: Path) -> None:
    old = start(tmp_path)
    claim(job(tmp_path, SECOND, 0, "resume"))
    with pytest.raises(Fenced):
        old.commit(written(old, 5), old.output.step(5))


def test_two_jobs_arrive_together_and_one_wins(tmp_path: Path) -> None:
    outputs = {uid: claim(job(tmp_path, uid, 0, "new")).root.name for uid in (FIRST, SECOND)}
    assert outputs == {FIRST: "run", SECOND: "run-bbbbbbbb"}


UNREADABLE = [
    "",
    '{"jobUid": ',
    "[]",
    '{"jobUid": 5}',
    '{"jobUid": "aaaaaaaa-1", "attempt": "x", "previous": 1}',
]


@pytest.mark.parametrize("content", UNREADABLE)
def test_an_owner_that_cannot_be_read_is_nobody_who_may_write(tmp_path: Path, content: str) -> None:
    old = start(tmp_path)
    old.output.owner.write_text(content)
    with pytest.raises(Fenced, match="belongs to job nobody knows") as ended:
        old.check()
    assert not isinstance(ended.value, OutputTaken), "another attempt may find its owner again"
    with pytest.raises(ConfigError, match="belongs to a job that its file OWNER does not name"):
        claim(job(tmp_path, SECOND))
    assert claim(job(tmp_path, SECOND, 0, "new")).root.name == "run-bbbbbbbb"
    assert claim(job(tmp_path, SECOND[::-1], 0, "resume")) == old.output
    assert json.loads(old.output.owner.read_text())["previous"] == []


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_fence_that_cannot_be_read_stops_its_writer_and_is_raised_anew(
    tmp_path: Path, content: str
) -> None:
    old = start(tmp_path)
    old.output.fence.write_text(content)
    with pytest.raises(Fenced):
        old.check()
    newer = start(tmp_path, attempt=1, holder="pod1")
    newer.commit(written(newer, 7), newer.output.step(7))


@pytest.mark.parametrize(
    "content", [*UNREADABLE, '{"jobUid": "aaaaaaaa-1", "attempt": 0, "resume": {"step": 5}}']
)
def test_a_start_that_cannot_be_read_is_none_and_the_next_fence_removes_it(
    tmp_path: Path, content: str
) -> None:
    fence = start(tmp_path)
    fence.output.ready(0).write_text(content)
    assert read_start(job(tmp_path)) is None
    start(tmp_path, holder="pod0-again")
    assert not fence.output.ready(0).exists()


def test_what_an_older_trainer_wrote_is_read(tmp_path: Path) -> None:
    fence = start(tmp_path)
    layout = {"data": 2, "tensor": 1, "pipeline": 1, "sequence": 1, "zero": 1, "why": ""}
    resume = {"step": 5, "layout": layout, "weights_only": True}
    said = {"jobUid": FIRST, "attempt": 0, "holder": "pod0", "resume": resume, "fingerprints": {}, "torn": []}
    fence.output.ready(0).write_text(json.dumps(said))
    assert read_start(job(tmp_path)) == Start(fence, Resume(5, Layout(data=2), weights_only=True), {})
    done = {"jobUid": FIRST, "attempt": 0, "holder": "pod0", "results": {"steps": 5}}
    fence.output.complete.write_text(json.dumps(done))
    assert ClaimedFolder(job(tmp_path), fence.output).finished() == Results(steps=5)
    fence.output.complete.write_text(json.dumps(done | {"jobUid": SECOND}))
    assert ClaimedFolder(job(tmp_path), fence.output).finished() is None
    fence.output.complete.write_text(json.dumps(done | {"results": {"steps": "all"}}))
    assert ClaimedFolder(job(tmp_path), fence.output).finished() is None, "it is exported again"


@pytest.mark.parametrize("damage", ["missing", "shorter", "flipped", "no manifest"])
def test_a_torn_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    fence = start(tmp_path)
    for step in (5, 10):
        fence.commit(written(fence, step), fence.output.step(step))
    file = fence.output.step(10) / "file"
    damages: dict[str, Callable[[], object]] = {
        "missing": file.unlink,
        "shorter": lambda: file.write_text("weight"),
        "flipped": lambda: file.write_text("Weights"),
        "no manifest": (file.parent / MANIFEST).unlink,
    }
    damages[damage]()
    said: list[int] = []
    found = newest_good(fence.output, lambda step, _: said.append(step))
    assert found is not None
    assert (found[0], said) == (5, [10])


def test_a_checkpoint_of_something_else_is_refused_by_name() -> None:
    same = {"seed": 0, "globalBatchSize": 16, "precision": "fp32"}
    manifest = Manifest(step=5, fingerprints=same)
    require_same(manifest, same)
    with pytest.raises(ConfigError, match="globalBatchSize: 16 in the checkpoint, 32 in this job"):
        require_same(manifest, same | {"globalBatchSize": 32}, weights_only=True)
    with pytest.raises(ConfigError, match="precision: fp32 in the checkpoint, bf16 in this job"):
        require_same(manifest, same | {"precision": "bf16"})
    require_same(manifest, same | {"precision": "bf16"}, weights_only=True)


def test_ranks_start_only_on_node_0s_word_for_this_attempt(tmp_path: Path) -> None:
    asked = job(tmp_path, SECOND, 0, "new")
    claim(job(tmp_path))
    assert read_start(asked) is None
    fence = raise_fence(claim(asked), asked, "pod0")
    said = Start(fence, Resume(5, Layout(data=4, zero=3)), {"seed": 0}, (10,))
    said.publish()
    assert read_start(asked) == said
    assert said.done == 5
    assert read_start(job(tmp_path, SECOND, 1, "new")) is None
    assert read_start(job(tmp_path)) is None
    publish_failure(fence.output, asked, "no text")
    with pytest.raises(NodeZeroFailed, match="no text"):
        read_start(asked)


def test_a_new_fence_removes_old_words(tmp_path: Path) -> None:
    for attempt in range(2):
        fence = start(tmp_path, attempt=attempt)
        Start(fence, None, {}).publish()
    assert sorted(p.name for p in fence.output.root.glob("*.ready")) == ["attempt-1.ready"]
    assert list(itertools.chain(Output(fence.output.root).checkpoints.glob(".fenced-*"))) == []
