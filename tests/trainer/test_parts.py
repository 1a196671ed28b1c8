"""Of a checkpoint in an object store another layout downloads what it reads, and verifies each byte of it."""

from __future__ import annotations

import multiprocessing
import os
import re
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from llmtrain_api import Layout
from llmtrain_trainer import digests
from llmtrain_trainer.checkpoint.manifest import STATE, Manifest
from llmtrain_trainer.storage.objectstore.bucket import Bucket

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what DeepSpeed says at import
    import torch
    from harness.saves.zero_files import written

    from llmtrain_trainer.checkpoint.ranges import Wanted
    from llmtrain_trainer.checkpoint.shards import Shards
    from llmtrain_trainer.checkpoint.unpickle import load_state
    from llmtrain_trainer.storage.objectstore.parts import DamagedPart, Part, StepParts

TWO = Layout(data=2)
SHAPE = (512, 16384)
NUMBERS = SHAPE[0] * SHAPE[1]
PREFIX = "checkpoints/step-5"
CHUNK = 1 << 20
SECOND_HALF = Wanted(SHAPE, SHAPE, 0, NUMBERS // 2, NUMBERS)
LAST_ROWS = Wanted(SHAPE, (SHAPE[0] // 2, SHAPE[1]), 1, 0, NUMBERS // 2)


class Counted(Bucket):
    """Counts the bytes that were got."""

    got = 0

    @override
    def read_range(self, key: str, start: int, stop: int) -> bytes:
        content = super().read_range(key, start, stop)
        self.got += len(content)
        return content


class Saved:
    """A step of two ranks, in a store and beside it."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root, self.state = root, state
        files = {}
        for path in state.iterdir():
            digest = digests.Digest()
            digest.update(memoryview(path.read_bytes()))
            files[f"{STATE}/{path.name}"] = digest.line()
            digest.close()
        told: dict[str, Any] = {"step": 5, "layout": asdict(TWO), "files": files}
        self.manifest = Manifest.model_validate(told)
        self.bucket = Counted(str(root / "store"))
        self.bucket.upload(state.parent, files, PREFIX)
        self.size = sum(path.stat().st_size for path in state.iterdir())

    def parts(self, node: str = "node") -> StepParts:
        return StepParts(self.bucket, PREFIX, self.root / node, self.manifest, STATE)

    def shards(self, node: str = "node") -> Shards:
        return Shards(self.root / node / STATE, TWO, self.parts(node))

    def damage(self, name: str, at: int) -> None:
        path = self.root / "store" / PREFIX / STATE / name
        with path.open("r+b") as file:
            file.seek(at)
            [one] = file.read(1)
            file.seek(at)
            file.write(bytes([one ^ 1]))


def shard(rank: int) -> str:
    return f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt"


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Saved:
    monkeypatch.setattr(digests, "CHUNK", CHUNK)
    return Saved(tmp_path, written(tmp_path, torch.rand(SHAPE)))


@pytest.mark.parametrize("wanted", [SECOND_HALF, LAST_ROWS], ids=["of ZeRO", "of a tensor-parallel group"])
def test_one_rank_of_two_downloads_half_of_the_files(saved: Saved, wanted: Wanted) -> None:
    source, whole = saved.shards(), Shards(saved.state, TWO)
    ours, theirs = source.read("a.weight", wanted), whole.read("a.weight", wanted)
    assert ours.keys() == theirs.keys() == {"fp32", "exp_avg"}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert source.step == whole.step
    assert 0.45 * saved.size <= saved.bucket.got <= 0.55 * saved.size
    assert source.files.got == saved.bucket.got
    on_disk = sum(path.stat().st_blocks for path in (saved.root / "node").rglob("*.pt")) * 512
    assert on_disk <= 0.6 * saved.size, "and the node's disk has no more"


def test_ranks_of_a_node_download_nothing_twice(saved: Saved) -> None:
    saved.shards().read("a.weight", SECOND_HALF)
    before = saved.bucket.got
    saved.shards().read("a.weight", SECOND_HALF)
    assert saved.bucket.got == before
    saved.shards("another node").read("a.weight", SECOND_HALF)
    assert saved.bucket.got == 2 * before


def test_a_rank_waits_for_the_chunk_that_another_one_gets(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = multiprocessing.get_context("fork")
    began, go, name = fork.Semaphore(0), fork.Event(), f"{STATE}/{shard(1)}"

    def slowly(self: Bucket, key: str, start: int, stop: int) -> bytes:
        began.release()
        assert go.wait(60)
        return Path(self.url, key).read_bytes()[start:stop]

    def need() -> None:
        path = saved.root / "node" / name
        Part(saved.bucket, f"{PREFIX}/{name}", path, saved.manifest.files[name]).need(0, 100)

    monkeypatch.setattr(Counted, "read_range", slowly)
    ranks = [fork.Process(target=need, daemon=True) for _ in range(2)]
    for rank in ranks:
        rank.start()
    assert began.acquire(timeout=60)
    until = time.monotonic() + 60
    waits = re.compile(rf"-> POSIX .* ({ranks[0].pid}|{ranks[1].pid}) ")
    while not waits.search(Path("/proc/locks").read_text()):
        assert not began.acquire(timeout=0.01), "both get it"
        assert time.monotonic() < until, "neither waits nor reads"
    go.set()
    for rank in ranks:
        rank.join(60)
        assert rank.exitcode == 0
    assert not began.acquire(block=False), "one of them has got it, for both"


@pytest.mark.parametrize("at", [12 * CHUNK, 100, -30], ids=["numbers", "head", "list of records"])
def test_what_was_changed_in_the_store_is_not_read(saved: Saved, at: int) -> None:
    size = saved.manifest.files[f"{STATE}/{shard(1)}"].size
    saved.damage(shard(1), at % size)
    with pytest.raises(DamagedPart, match=f"{shard(1)} has another sha256 in bytes"):
        saved.shards().read("a.weight", SECOND_HALF)


def test_no_file_stays_open(saved: Saved) -> None:
    """A gang of a thousand ranks has written thousands."""
    parts, before = saved.parts(), len(os.listdir("/proc/self/fd"))
    for name in parts.sizes():
        parts.structure_of(name)
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_of_an_older_version_have_one_digest_and_come_whole(saved: Saved) -> None:
    before, saved.manifest = saved.manifest, saved.manifest.model_copy(deep=True)
    for name, entry in before.files.items():
        saved.manifest.files[name] = entry.model_copy(update={"chunk": None, "chunks": None})
    whole = Shards(saved.state, TWO).read("a.weight", SECOND_HALF)
    ours = saved.shards().read("a.weight", SECOND_HALF)
    assert all(torch.equal(ours[key], whole[key]) for key in ours)
    assert saved.bucket.got == saved.size
    saved.damage(shard(0), 12 * CHUNK)
    with pytest.raises(DamagedPart, match=rf"{re.escape(shard(0))} has another sha256 in bytes 0 to "):
        saved.shards("another node")


def test_a_fault_in_what_nobody_reads_stops_nobody(saved: Saved) -> None:
    saved.damage(shard(0), 12 * CHUNK)
    saved.shards().read("a.weight", SECOND_HALF)


def test_an_object_that_has_gone_is_damage_and_no_mistake_in_the_job(saved: Saved) -> None:
    (saved.root / "store" / PREFIX / STATE / shard(1)).unlink()
    with pytest.raises(DamagedPart, match=f"{shard(1)} is not there any more"):
        saved.shards()


def test_a_store_that_does_not_answer_is_no_damage(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(5, "Connection reset")

    monkeypatch.setattr(Counted, "read_range", refuse)
    with pytest.raises(OSError, match="Connection reset") as caught:
        saved.shards()
    assert not isinstance(caught.value, DamagedPart)


def test_every_tensor_of_a_file_is_the_one_that_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any size and format, shared and in parts: places of tensors are counted, and none is a byte off."""
    monkeypatch.setattr(digests, "CHUNK", 1 << 12)
    shared = torch.rand(1000)
    state = {
        "odd": [torch.rand(size) for size in (1, 3, 17, 4097, 70_001)],
        "bf16": torch.rand(5001).to(torch.bfloat16),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "columns": torch.rand(40, 50)[:, 3:9],
        "views": (shared, shared[10:20]),
        "none": torch.empty(0),
        "number": torch.tensor(2.5),
    }
    folder = tmp_path / "step-5" / STATE
    folder.mkdir(parents=True)
    torch.save(state, folder / "file.pt")
    parts = Saved(tmp_path, folder).parts()
    found = load_state(parts.structure_of("file.pt"), mapped=True, sparse=True)

    def compare(ours: Any, theirs: Any) -> None:
        if isinstance(theirs, torch.Tensor):
            parts.need(ours)
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)
            return
        for key in theirs if isinstance(theirs, dict) else range(len(theirs)):
            compare(ours[key], theirs[key])

    compare(found, state)


def test_a_tensor_that_was_counted_wrongly_is_not_read(saved: Saved) -> None:
    parts = saved.parts()
    state = load_state(parts.structure_of(shard(0)), mapped=True, sparse=True)["optimizer_state_dict"]
    weight = state["single_partition_of_fp32_groups"][0]
    parts.need(weight)
    part, start = parts._parts[shard(0)], weight.data_ptr() - parts._mapped[0][0]
    for off in (-64, 64, 4):
        with pytest.raises(DamagedPart, match="lists no tensor of"):
            part.require_record(start + off, weight.untyped_storage().nbytes())
