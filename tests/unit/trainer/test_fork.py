"""The first checkpoint of a job that goes on from another job's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from harness.builders import job

from llmtrain_api import JobFile, changed
from llmtrain_trainer.checkpoint import fork
from llmtrain_trainer.checkpoint.fence import Fence, raise_fence
from llmtrain_trainer.checkpoint.fork import bring
from llmtrain_trainer.checkpoint.manifest import MANIFEST, Manifest, broken, read_manifest
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.errors import ConfigError, Fenced
from llmtrain_trainer.files import inventory, write_json
from llmtrain_trainer.output import Output


def left(root: Path, *steps: int) -> Output:
    """The output of a job that has left checkpoints."""
    output = Output(root)
    for step in steps:
        folder = output.step(step)
        (folder / "state").mkdir(parents=True)
        (folder / "state" / "rank-0.pt").write_bytes(os.urandom(1000))
        (folder / "latest").write_text(str(step))
        files: Any = inventory(folder)
        write_json(folder / MANIFEST, Manifest(step=step, job_uid="other", files=files).to_json())
    return output


def forked(folder: Path, source: Path, **wanted: Any) -> tuple[Fence, JobFile]:
    asked = job(folder / "output", checkpoint={"from": {"output": "pvc://claim/other", **wanted}})
    told = changed(asked, checkpoint_from=str(source))
    return raise_fence(claim(told), told, "pod0"), told


def state(root: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(("wanted", "step"), [({}, 30), ({"step": 20}, 20)])
def test_a_step_is_copied_and_the_other_output_stays_as_it_is(
    tmp_path: Path, wanted: dict[str, int], step: int
) -> None:
    source = left(tmp_path / "other", 10, 20, 30)
    before = state(source.root)
    fence, asked = forked(tmp_path, source.root, **wanted)
    assert bring(fence, asked) == step
    assert fence.output.committed() == [step]
    assert broken(fence.output.step(step)) is None
    found = read_manifest(fence.output.step(step))
    assert found is not None
    assert found.job_uid == "other", "whose it is stays on record"
    assert state(source.root) == before


def test_a_checkpoint_of_its_own_is_gone_on_from(tmp_path: Path) -> None:
    source = left(tmp_path / "other", 10)
    fence, asked = forked(tmp_path, source.root)
    left(fence.output.root, 5)
    assert bring(fence, asked) is None
    assert fence.output.committed() == [5]


def test_the_newest_that_is_whole_is_taken(tmp_path: Path) -> None:
    source = left(tmp_path / "other", 10, 20)
    (source.step(20) / "latest").write_text("9")
    assert bring(*forked(tmp_path, source.root)) == 10


def test_a_copy_that_was_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = left(tmp_path / "other", 10)
    fence, asked = forked(tmp_path, source.root)
    copies = shutil.copyfile

    def killed(one: Path, other: Path, **named: Any) -> Any:
        copies(one, other, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fork.shutil, "copyfile", killed)
        with pytest.raises(KeyboardInterrupt):
            bring(fence, asked)
    assert fence.output.committed() == []
    assert bring(fence, asked) == 10
    assert broken(fence.output.step(10)) is None


def test_an_older_attempt_commits_no_copy(tmp_path: Path) -> None:
    source = left(tmp_path / "other", 10)
    fence, asked = forked(tmp_path, source.root)
    raise_fence(fence.output, changed(asked, attempt=1), "pod1")
    with pytest.raises((Fenced, FileNotFoundError)):
        bring(fence, asked)
    assert fence.output.committed() == []


def torn(source: Output) -> None:
    (source.step(10) / "state" / "rank-0.pt").write_bytes(b"torn")


def linked(source: Output) -> None:
    file = source.step(10) / "state" / "rank-0.pt"
    file.rename(source.root / "elsewhere.pt")
    file.symlink_to(source.root / "elsewhere.pt")


@pytest.mark.parametrize(
    ("harm", "wanted", "words"),
    [
        (torn, {}, "has no checkpoint that is whole; step 10: state/rank-0.pt has 4 bytes instead of 1000"),
        (torn, {"step": 10}, "checkpoint.from.step: step 10 in .* is not whole"),
        (linked, {"step": 10}, "is a link"),
        (Output, {"step": 11}, "there is no step 11 in .*, which has 10"),
        (lambda source: shutil.rmtree(source.root), {}, "has no checkpoint that is whole"),
    ],
)
def test_what_cannot_be_gone_on_from_is_one_sentence(
    tmp_path: Path, harm: Any, wanted: dict[str, int], words: str
) -> None:
    source = left(tmp_path / "other", 10)
    harm(source)
    fence, asked = forked(tmp_path, source.root, **wanted)
    with pytest.raises(ConfigError, match=words):
        bring(fence, asked)
    assert fence.output.committed() == []


def test_a_source_that_changes_under_the_copy_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = left(tmp_path / "other", 10)
    fence, asked = forked(tmp_path, source.root)
    copies = shutil.copyfile

    def changes(one: Path, other: Path, **named: Any) -> Any:
        if one.name == "rank-0.pt":
            one.write_bytes(os.urandom(1000))
        return copies(one, other, **named)

    monkeypatch.setattr(fork.shutil, "copyfile", changes)
    with pytest.raises(ConfigError, match="changed while it was copied"):
        bring(fence, asked)
    assert fence.output.committed() == []
