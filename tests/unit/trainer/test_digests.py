"""Digests of chunks: written with the file, held against by several threads, and never of less than all."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from llmtrain_trainer import digests
from llmtrain_trainer.checkpoint import manifest
from llmtrain_trainer.checkpoint.manifest import MANIFEST, FileEntry, Manifest, broken
from llmtrain_trainer.files import differing, entry_of, write_json
from llmtrain_trainer.sink import Sink

CHUNK = 4096
BODY = os.urandom(3 * CHUNK + 100)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "CHUNK", CHUNK)
    monkeypatch.setattr(digests, "BLOCK", 1000)


def written(path: Path, body: bytes = BODY, piece: int = 700) -> dict[str, Any]:
    """A file's line, of a file that is written in pieces of some length."""
    with Sink(path) as sink:
        left = memoryview(body)
        while left:
            left = left[sink.write(left[:piece]) :]
        return sink.sync()


@pytest.mark.parametrize("beside", [False, True], ids=["in the writer", "in a thread beside it"])
@pytest.mark.parametrize("piece", [1, 700, CHUNK, 2 * CHUNK + 1, len(BODY)])
def test_the_digests_are_those_of_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, beside: bool
) -> None:
    monkeypatch.setattr(digests, "WORTH_A_THREAD", 0 if beside else 1 << 30)
    line = written(tmp_path / "file", BODY, piece)
    parts = [BODY[at : at + CHUNK] for at in range(0, len(BODY), CHUNK)]
    assert line == {
        "size": len(BODY),
        "sha256": hashlib.sha256(BODY).hexdigest(),
        "chunk": CHUNK,
        "chunks": [hashlib.sha256(part).hexdigest() for part in parts],
    }
    assert differing(tmp_path, {"file": line}) is None
    assert FileEntry.model_validate(line).chunks == tuple(line["chunks"])


@pytest.mark.parametrize("size", [0, 1, CHUNK])
def test_a_file_of_one_chunk_has_one_digest(tmp_path: Path, size: int) -> None:
    line = written(tmp_path / "file", BODY[:size])
    assert line == entry_of(tmp_path / "file")
    assert differing(tmp_path, {"file": line}) is None


def test_a_manifest_of_an_older_trainer_is_read(tmp_path: Path) -> None:
    """One digest a file, however large; and an older one finds its digest in ours."""
    line = written(tmp_path / "file")
    old = entry_of(tmp_path / "file")
    assert old == {"size": line["size"], "sha256": line["sha256"]}
    assert differing(tmp_path, {"file": old}) is None
    flip(tmp_path / "file", 9000)
    assert differing(tmp_path, {"file": old}) == "file has another sha256 than its manifest says"


def flip(path: Path, at: int) -> None:
    body = bytearray(path.read_bytes())
    body[at] ^= 1
    path.write_bytes(body)


@pytest.mark.parametrize("at", [0, CHUNK - 1, CHUNK, 2 * CHUNK, 3 * CHUNK, len(BODY) - 1])
def test_a_bit_anywhere_is_found_and_told_where(tmp_path: Path, at: int) -> None:
    line = written(tmp_path / "file")
    flip(tmp_path / "file", at)
    start = at // CHUNK * CHUNK
    told = f"in bytes {start} to {min(start + CHUNK, len(BODY))}"
    assert differing(tmp_path, {"file": line}) == f"file has another sha256 {told} than its manifest says"


def test_the_first_fault_is_told_and_the_rest_is_not_read(tmp_path: Path) -> None:
    """A missing file or another size says enough unread; of many faults the first is told."""
    lines = {name: written(tmp_path / name) for name in ("a", "b", "c")}
    flip(tmp_path / "b", 0)
    flip(tmp_path / "c", 0)
    assert str(differing(tmp_path, lines)).startswith("b has another sha256 in bytes 0 to")
    (tmp_path / "c").unlink()
    assert differing(tmp_path, lines) == "c: No such file or directory"
    os.mkfifo(tmp_path / "c")
    assert differing(tmp_path, lines) == "c is no plain file"


SHA = "0" * 64
BAD: dict[str, dict[str, Any]] = {
    "a chunk is left out": {"size": 3 * CHUNK, "chunk": CHUNK, "chunks": [SHA] * 2},
    "a chunk too many": {"size": 3 * CHUNK, "chunk": CHUNK, "chunks": [SHA] * 4},
    "none": {"size": 0, "chunk": CHUNK, "chunks": []},
    "no length of chunks": {"size": CHUNK, "chunks": [SHA]},
    "no digests of chunks": {"size": CHUNK, "chunk": CHUNK},
    "chunks of nothing": {"size": 1, "chunk": 0, "chunks": [SHA]},
    "chunks of less than nothing": {"size": 1, "chunk": -1, "chunks": [SHA]},
    "a digest of another kind": {"size": CHUNK, "chunk": CHUNK, "chunks": ["0" * 63]},
    "a size that no disk has": {"size": 1 << 70},
}


@pytest.mark.parametrize("entry", BAD.values(), ids=BAD)
def test_a_manifest_that_leaves_a_part_unread_is_no_manifest(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileEntry.model_validate({"sha256": SHA, **entry})
    write_json(tmp_path / MANIFEST, {"step": 1, "files": {"file": {"sha256": SHA, **entry}}})
    assert broken(tmp_path) == f"no readable {MANIFEST}"


def test_a_manifest_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "step" / MANIFEST
    path.parent.mkdir()
    write_json(path, Manifest(step=1).to_json())
    monkeypatch.setattr(manifest, "MOST_MANIFEST", path.stat().st_size)
    assert broken(path.parent) == f"{MANIFEST} lists no files"
    monkeypatch.setattr(manifest, "MOST_MANIFEST", path.stat().st_size - 1)
    assert broken(path.parent) == f"no readable {MANIFEST}"


def test_bytes_may_change_once_they_were_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """However late the thread beside begins."""
    monkeypatch.setattr(digests, "WORTH_A_THREAD", 0)

    class Late(digests.Digest):
        def _cut(self, data: memoryview) -> None:
            time.sleep(0.02)
            super()._cut(data)

    digest = Late()
    for at in range(0, len(BODY), CHUNK):
        block = bytearray(BODY[at : at + CHUNK])
        digest.update(memoryview(block))
        block[:] = bytes(len(block))
    chunks = digest.line()["chunks"]
    digest.close()
    assert chunks == [hashlib.sha256(BODY[at : at + CHUNK]).hexdigest() for at in range(0, len(BODY), CHUNK)]


@pytest.mark.parametrize(("limit", "threads"), [("200000 100000", 2), ("max 100000", 16)])
def test_no_more_threads_hash_than_the_pod_may_use_processors(
    limit: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu.max").write_text(limit)
    assert digests.threads_here(tmp_path / "cpu.max") == threads


def test_threads_read_at_once(tmp_path: Path) -> None:
    """Two pieces that wait for each other end only where two threads hold them."""
    meet = threading.Barrier(2, timeout=20)

    class Waiting(digests.Piece):
        def fault(self) -> str | None:
            meet.wait()
            return None

    line = written(tmp_path / "file")
    pieces = [
        Waiting(**vars(piece)) for piece in list(digests.pieces_of(tmp_path / "file", "file", line))[:2]
    ]
    assert digests.first_fault(pieces, threads=2) is None
