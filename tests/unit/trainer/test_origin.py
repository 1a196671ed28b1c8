"""The first checkpoint of a job that goes on from another one: real files, no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness.children import environment
from harness.saves.origins import LAYOUT, OURS, PRINTS, THEIRS, job, saved

from llmtrain_api import JobFile, Origin
from llmtrain_trainer.checkpoint.fence import Fence, raise_fence
from llmtrain_trainer.checkpoint.manifest import MANIFEST, broken, manifest_of
from llmtrain_trainer.checkpoint.origin import adopt, look
from llmtrain_trainer.checkpoint.ownership import claim
from llmtrain_trainer.checkpoint.resume import Resume, choose
from llmtrain_trainer.digests import Piece
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.files import write_json
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import record_or_none


def taken(tmp_path: Path, step: int | None = None, **more: Any) -> tuple[Fence, JobFile]:
    asked = job(tmp_path, step, **more)
    fence = raise_fence(claim(asked), asked, "pod")
    adopt(fence, asked, PRINTS)
    return fence, asked


def test_the_newest_step_becomes_the_first_of_the_own_output(tmp_path: Path) -> None:
    saved(tmp_path / "base", 5)
    source = saved(tmp_path / "base", 10)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in source.root.rglob("*") if p.is_file()}
    fence, asked = taken(tmp_path)
    own = fence.output
    assert own.committed() == [10]
    assert broken(own.step(10)) is None
    assert before == {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in source.root.rglob("*") if p.is_file()
    }
    one, other = (out.step(10) / "state" / "model.pt" for out in (own, source))
    assert one.samefile(other), "no byte is copied within a file system"
    assert record_or_none(own.origin, Origin) == Origin(
        job="base", uid=THEIRS, uri="pvc://claim/base", step=10
    )
    found = choose(own, asked, PRINTS, lambda *_: None)
    assert found == Resume(10, LAYOUT, origin="job base")
    assert found.note(LAYOUT) == "begins with step 10 of job base"
    assert Resume.of(found.record) == found


def test_what_is_linked_is_read_once_and_by_all_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, read, asked = saved(tmp_path / "base", 5), list[str](), job(tmp_path)
    fence, fault = raise_fence(claim(asked), asked, "pod"), Piece.fault

    def counted(piece: Piece) -> str | None:
        read.append(piece.name)
        return fault(piece)

    monkeypatch.setattr(Piece, "fault", counted)
    found = adopt(fence, asked, PRINTS)
    assert sorted(read) == sorted(manifest_of(source.step(5)).files)
    assert found == choose(fence.output, asked, PRINTS, lambda *_: None)


def test_where_nothing_can_be_linked_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    source = saved(tmp_path / "base", 5)
    asked = job(tmp_path)
    fence = raise_fence(claim(asked), asked, "pod")
    monkeypatch.setattr(os, "link", refuse)
    adopt(fence, asked, PRINTS)
    one, other = (out.step(5) / "state" / "model.pt" for out in (fence.output, source))
    assert not one.samefile(other)
    assert one.read_bytes() == other.read_bytes()
    assert broken(fence.output.step(5)) is None


def test_a_certain_step_of_weights_only(tmp_path: Path) -> None:
    saved(tmp_path / "base", 5)
    saved(tmp_path / "base", 10)
    fence, asked = taken(tmp_path, 5, checkpoint={"resumeFrom": "weights"})
    assert fence.output.committed() == [5]
    found = choose(fence.output, asked, PRINTS | {"precision": "bf16"}, lambda *_: None)
    assert found == Resume(5, LAYOUT, weights_only=True, origin="job base")


def test_own_checkpoints_are_kept_and_win(tmp_path: Path) -> None:
    """The copy is no more than a step: newer ones push it out, and a torn one of that number gives way."""
    saved(tmp_path / "base", 5)
    fence, asked = taken(tmp_path)
    (fence.output.step(5) / "list").unlink()
    adopt(fence, asked, PRINTS)
    assert broken(fence.output.step(5)) is None
    saved(tmp_path / "own", 7, uid=OURS)
    found = choose(fence.output, asked, PRINTS, lambda *_: None)
    assert found == Resume(7, LAYOUT), "of its own, so in full, and with no note"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("cut", "has 4 bytes instead of 9"),
        ("flipped", "has another sha256"),
        ("gone", "cannot be read: No such file"),
        ("link", "is a link"),
        ("manifest", f"no readable {MANIFEST}"),
    ],
)
def test_a_damaged_step_is_one_sentence(tmp_path: Path, damage: str, told: str) -> None:
    source = saved(tmp_path / "base", 5)
    file = source.step(5) / "state" / "model.pt"
    if damage == "cut":
        file.write_text("weig")
    elif damage == "flipped":
        file.write_text("weights 6")
    elif damage == "manifest":
        (source.step(5) / MANIFEST).write_text("{")
    else:
        file.unlink()
        if damage == "link":
            file.symlink_to(source.step(5) / "list")
    with pytest.raises(
        ConfigError, match=rf"checkpoint\.from\.step: step 5 of job base is damaged: .*{told}"
    ):
        taken(tmp_path, 5)
    assert Output(tmp_path / "own").committed() == []
    with pytest.raises(ConfigError, match=r"checkpoint\.from: no checkpoint of job base is whole"):
        taken(tmp_path, attempt=1)
    saved(tmp_path / "base", 3)
    fence, _ = taken(tmp_path, attempt=2)
    assert fence.output.committed() == [3], "without a step, the newest that is whole"


def test_what_is_missing_is_told_before_data_are_prepared(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pvc://claim/base has nothing of job base any more"):
        look(job(tmp_path), PRINTS)
    with pytest.raises(ConfigError, match="there is no checkpoint of the trainer in pvc://claim/base"):
        look(job(tmp_path, uid=None), PRINTS)
    saved(tmp_path / "base", 5)
    with pytest.raises(ConfigError, match=r"has no checkpoint of step 7 .*; name one that it has \(5\)"):
        look(job(tmp_path, 7), PRINTS)
    with pytest.raises(ConfigError, match=r"seed: 0 in the checkpoint, 1 in this job; undo .* model\.name"):
        look(job(tmp_path), PRINTS | {"seed": 1})
    with pytest.raises(ConfigError, match=r"is of step 5, and training\.maxSteps is 5; raise"):
        look(job(tmp_path, training={"maxSteps": 5}), PRINTS)
    look(job(tmp_path), PRINTS)


def test_what_cannot_be_gone_on_from_is_not_copied(tmp_path: Path) -> None:
    saved(tmp_path / "base", 5, fingerprints=PRINTS | {"data": "other"})
    asked = job(tmp_path)
    fence = raise_fence(claim(asked), asked, "pod")
    with pytest.raises(ConfigError, match="prepared data"):
        adopt(fence, asked, PRINTS | {"data": "mine"})
    assert fence.output.committed() == []


def test_the_folder_beside_is_found_by_its_owner(tmp_path: Path) -> None:
    """With ``ifExists: new`` the other job did not write where its spec says."""
    saved(tmp_path / "base", 3, uid="cccccccc-3")
    saved(tmp_path / f"base-{THEIRS[:8]}", 5)
    fence, _ = taken(tmp_path)
    assert fence.output.committed() == [5]


def test_a_folder_that_was_taken_over_is_found_too(tmp_path: Path) -> None:
    source = saved(tmp_path / "base", 5)
    write_json(source.owner, {"jobUid": "heir", "name": "heir", "namespace": "a", "previous": [THEIRS]})
    assert taken(tmp_path)[0].output.committed() == [5]


def test_killed_at_any_operation_it_is_whole_or_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.saves.origins", str(tmp_path)]
    done = subprocess.run(command, env=environment(), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 20
