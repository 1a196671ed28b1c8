"""Checkpoints that something else damaged, and disks that refuse: small engine, real files and errors."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.quota import files_up_to

from llmtrain_trainer.checkpoint.manifest import MANIFEST, newest_good
from llmtrain_trainer.files import read_json, write_json

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    from harness.saves.small import MODEL, OPTIMIZER, content_is_whole, save, saver, start, text_of_one

    from llmtrain_trainer import distributed
    from llmtrain_trainer.checkpoint.save import Checkpointer
    from llmtrain_trainer.checkpoint.store import FolderCheckpointStore

FILES = (
    f"state/{MODEL}",
    f"state/{OPTIMIZER}",
    "parts/rank-0.json",
    "weights/model-00001-of-00001.safetensors",
    "weights/model.safetensors.index.json",
)
MODES = pytest.mark.parametrize("background", [False, True], ids=["in the loop", "beside it"])


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "all_gather_text", text_of_one)


def of_folder(files: Checkpointer) -> FolderCheckpointStore:
    assert isinstance(files.store, FolderCheckpointStore)
    return files.store


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def flip(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(body)


def flip_last(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[-1] ^= 0x80
    file.write_bytes(body)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut": cut,
    "emptied": empty,
    "a bit flipped": flip,
    "its last bit flipped": flip_last,
    "gone": Path.unlink,
}


@pytest.fixture(scope="module")
def undamaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints with every kind of file, made once and copied for each damage."""
    root = tmp_path_factory.mktemp("undamaged")
    files = saver(start(root))
    for step in (5, 10):
        assert save(files, step, background=True, whole=True) is None
    listed = (read_json(root / "output/checkpoints/step-10" / MANIFEST) or {})["files"]
    assert set(listed) == set(FILES), "a kind of file that this test does not damage"
    return root


def resumed(root: Path) -> tuple[int | None, list[int]]:
    """What a new attempt starts from, and what it passes over."""
    said: list[int] = []
    output = start(root, 1).output
    found = newest_good(output, lambda step, _reason: said.append(step))
    return found and found[0], said


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_found(undamaged: Path, tmp_path: Path, name: str, damage: str) -> None:
    root = shutil.copytree(undamaged, tmp_path / "copy")
    DAMAGE[damage](root / "output/checkpoints/step-10" / name)
    assert resumed(root) == (5, [10])


@pytest.mark.parametrize("damage", ["cut", "emptied", "gone", "lists nothing", "of another format"])
def test_a_damaged_manifest_is_found(undamaged: Path, tmp_path: Path, damage: str) -> None:
    root = shutil.copytree(undamaged, tmp_path / "copy")
    manifest = root / "output/checkpoints/step-10" / MANIFEST
    if damage in DAMAGE:
        DAMAGE[damage](manifest)
    else:
        write_json(manifest, {"step": 10, "files": {}} if damage == "lists nothing" else {"step": 10})
    assert resumed(root) == (5, [10])


def test_an_extra_file_does_no_harm(undamaged: Path, tmp_path: Path) -> None:
    root = shutil.copytree(undamaged, tmp_path / "copy")
    (root / "output/checkpoints/step-10/state/.nfs0001").write_text("left by a network file system")
    assert resumed(root) == (10, [])


def test_retention_does_not_count_what_is_torn(tmp_path: Path) -> None:
    """A newer torn step, and a torn one between, push out neither the new one nor the good one before."""
    files = saver(start(tmp_path))
    for step in (10, 15, 20):
        of_folder(files).keep = 3
        assert save(files, step, background=False) is None
    output = files.fence.output
    for step in (15, 20):
        cut(output.step(step) / "state" / MODEL)
    for keep, kept in ((2, {10, 17}), (1, {17})):
        of_folder(files).keep = keep
        shutil.rmtree(output.step(17), ignore_errors=True)
        assert save(files, 17, background=False) is None
        good = {step for step in output.committed() if content_is_whole(output.step(step), step)}
        assert good == kept


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB. As root, as `hack/test` runs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.fail(f"this test needs root, to mount a small disk: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@MODES
@pytest.mark.parametrize("whole", [False, True], ids=["states", "whole weights too"])
def test_a_full_disk_fails_one_save_and_nothing_else(disk: Path, background: bool, whole: bool) -> None:
    fence = start(disk)
    files = saver(fence)
    assert save(files, 5, background=background) is None
    # states alone: the second file does not fit; with the whole weights, the states do and these do not
    numbers = 85_000 if whole else 200_000
    error = save(files, 10, background=background, whole=whole, numbers=numbers)
    assert error is not None
    assert "step 10 could not be saved" in error
    assert str(fence.output.checkpoints) in error
    assert "MiB of 1 MiB are free" in error
    assert os.strerror(errno.ENOSPC) in error
    assert not (fence.folder / "step-10").exists(), "what did not fit still fills the disk"
    assert fence.output.committed() == [5]
    assert save(files, 15, background=background) is None
    assert fence.output.committed() == [15, 5]
    assert resumed(disk) == (15, [])


def fill(file: Path) -> None:
    """Take what is left of a disk."""
    with file.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@MODES
def test_a_disk_that_is_full_at_the_commit(disk: Path, background: bool) -> None:
    fence = start(disk)
    files = saver(fence)
    assert save(files, 5, background=background) is None
    real = files._work

    def filled(act: Callable[[], None], background: bool) -> object:
        if files._pending is not None:  # the second piece of work: rank 0's commit
            fill(disk / "filler")
        return real(act, background)

    files._work = filled  # type: ignore[method-assign, assignment]
    error = save(files, 10, background=background)
    assert error is not None
    assert "No space left" in error
    assert fence.output.committed() == [5]
    (disk / "filler").unlink()
    files._work = real  # type: ignore[method-assign]
    assert save(files, 15, background=background) is None
    assert resumed(disk) == (15, [])


@MODES
def test_a_quota_on_files(tmp_path: Path, background: bool) -> None:
    """A write that stops in the middle of a file."""
    files = saver(start(tmp_path))
    with files_up_to(6000):
        error = save(files, 5, background=background)
    assert error is not None
    assert os.strerror(errno.EFBIG) in error
    assert files.fence.output.committed() == []
    assert save(files, 10, background=background) is None


@MODES
def test_a_folder_that_cannot_be_written(tmp_path: Path, background: bool) -> None:
    """Immutable, as root may write everywhere else."""
    files = saver(start(tmp_path))
    folder = files.fence.folder
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        readonly = saver(files.fence)
        error = save(readonly, 5, background=background)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
    assert error is not None
    assert os.strerror(errno.EROFS) in error
    assert f"make {files.fence.output.checkpoints} writable" in error
    assert save(files, 10, background=background) is None
