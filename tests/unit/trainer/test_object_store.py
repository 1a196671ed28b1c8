"""Records one after another: of writers that do not know of each other, one wins each time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from harness.builders import UID, job

from llmtrain_api import Layout, Results, changed
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.checkpoint.manifest import Manifest
from llmtrain_trainer.errors import ConfigError, Fenced
from llmtrain_trainer.files import differing
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import OwnerRecord, StartRecord
from llmtrain_trainer.storage.objectstore import record
from llmtrain_trainer.storage.objectstore.bucket import Bucket
from llmtrain_trainer.storage.objectstore.ledger import Ledger
from llmtrain_trainer.storage.objectstore.record import Record
from llmtrain_trainer.storage.objectstore.steps import (
    Readers,
    best_of,
    fetch_step,
    left_over,
    prefix_of,
    retired,
)

OTHER = "22222222-aaaa-4bbb-8ccc-000000000000"


def fence(attempt: int = 0, holder: str = "pod", uid: str = UID) -> Fence:
    return Fence(Output(Path("/nowhere")), uid, attempt, holder)


class Folder(Bucket):
    """A file that is being created can be read half; an object cannot."""

    def create(self, key: str, content: bytes) -> bool:
        whole = Path(self.url, f".{uuid.uuid4().hex}")
        target = Path(self.url, key)
        target.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes(content)
        try:
            os.link(whole, target)
        except FileExistsError:
            return False
        finally:
            whole.unlink()
        return True


def claimed(tmp_path: Path) -> Ledger:
    ledger = Ledger(Folder(str(tmp_path / "store")))
    ledger.append(record.claim(job(tmp_path / "output")))
    return ledger


def test_writers_that_race_all_have_their_change(tmp_path: Path) -> None:
    claimed(tmp_path).append(record.fence(fence()))
    together = threading.Barrier(8)

    def write(step: int) -> None:
        mine = Ledger(Folder(str(tmp_path / "store")))
        together.wait()
        mine.append(record.commit(fence(), step, f"there/{step}", []))

    threads = [threading.Thread(target=write, args=(step,)) for step in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Ledger(Folder(str(tmp_path / "store"))).read()
    assert found.committed == list(range(7, -1, -1))
    assert found.number == 10


def test_an_old_attempt_cannot_commit_whatever_it_has_read(tmp_path: Path) -> None:
    old, new = claimed(tmp_path), Ledger(Folder(str(tmp_path / "store")))
    old.append(record.fence(fence(0)))
    # between its look at the newest record and its own one
    create = old.bucket.create

    def late(key: str, content: bytes) -> bool:
        old.bucket.create = create  # type: ignore[method-assign]
        new.append(record.fence(fence(1)))
        return create(key, content)

    old.bucket.create = late  # type: ignore[method-assign]
    with pytest.raises(Fenced, match="attempt 1 of job"):
        old.append(record.commit(fence(0), 10, "there", []))
    assert new.read().steps == {}


@pytest.mark.parametrize(
    "late", [fence(0), fence(1, "another pod"), fence(1, uid=OTHER)], ids=["attempt", "holder", "job"]
)
def test_only_the_newest_writer_changes_anything(tmp_path: Path, late: Fence) -> None:
    ledger = claimed(tmp_path)
    ledger.append(record.fence(fence(1)))
    before = ledger.read()
    for change in (record.commit(late, 5, "there", []), record.by(late, "over", data="x")):
        with pytest.raises(Fenced):
            ledger.append(change)
    assert Ledger(ledger.bucket).read() == before


def test_a_lower_attempt_raises_no_fence(tmp_path: Path) -> None:
    ledger = claimed(tmp_path)
    ledger.append(record.fence(fence(2)))
    with pytest.raises(Fenced, match="attempt 2 of this job writes here already"):
        ledger.append(record.fence(fence(1)))
    ledger.append(record.fence(fence(2, "its pod was created again")))


def test_an_answer_that_was_lost_is_no_second_record(tmp_path: Path) -> None:
    """The library asks again after a time-out, and is told that the object is there."""
    ledger = claimed(tmp_path)
    create = ledger.bucket.create

    def lost(key: str, content: bytes) -> bool:
        create(key, content)
        return create(key, content)

    ledger.bucket.create = lost  # type: ignore[method-assign]
    ledger.append(record.fence(fence()))
    assert ledger.newest.number == 2
    assert ledger.bucket.sizes("log").keys() == {"000000000001.json", "000000000002.json"}


def put(ledger: Ledger, number: int, content: str) -> Ledger:
    assert ledger.bucket.create(f"log/{number:012}.json", content.encode())
    return Ledger(ledger.bucket)


def test_a_record_of_an_older_trainer_is_read(tmp_path: Path) -> None:
    older = {
        "number": 2,
        "written_by": "a",
        "what": "ready",
        "data": "data/a",
        "steps": {"5": "there"},
        "owner": {"jobUid": UID, "name": "n", "namespace": "d"},
        "attempt": 3,
        "holder": "pod",
        "ready": {"attempt": 3, "error": "no text"},
        "results": None,
        "of a newer one": 1,
    }
    found = put(claimed(tmp_path), 2, json.dumps(older)).read()
    assert (found.owner.job_uid, found.attempt, found.committed, found.written_by) == (UID, 3, [5], "a")
    assert found.ready == StartRecord(attempt=3, error="no text")
    empty = {"number": 3, "owner": {}, "attempt": -1, "holder": ""}
    assert put(claimed(tmp_path), 3, json.dumps(empty)).read() == Record(number=3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"number": 2, "ste', "the object: Invalid JSON"),
        ('{"steps": {"../5": "x"}}', r"steps\.\.\./5\.\[key\]: String should match"),
        ('{"owner": {"jobUid": 5}}', r"owner\.jobUid: Input should be a valid string"),
    ],
)
def test_a_record_that_is_none_of_ours_is_told_with_its_key(tmp_path: Path, content: str, told: str) -> None:
    ledger = put(claimed(tmp_path), 2, content)
    with pytest.raises(ValueError, match=rf"store/log/000000000002\.json: {told}"):
        ledger.append(record.fence(fence()))
    assert "000000000003.json" not in ledger.bucket.sizes("log")


def test_whose_an_output_is() -> None:
    def wanted(exists: str = "fail", uid: str = OTHER, name: str = "second") -> record.Change:
        return record.claim(job(Path("/nowhere"), uid=uid, name=name, output={"ifExists": exists}))

    mine = wanted(uid=UID, name="first")(Record())
    assert wanted(uid=UID, name="first")(mine) is mine
    with pytest.raises(ConfigError, match="belongs to job default/first"):
        wanted()(mine)
    with pytest.raises(record.Beside):
        wanted("new")(mine)
    left = changed(mine, attempt=3, holder="pod", results=Results(steps=1), ready=StartRecord())
    left = changed(left, steps={"5": "there"}, data="data/a")
    taken = wanted("resume")(left)
    assert (taken.owner.job_uid, taken.owner.previous) == (OTHER, (UID,))
    assert (taken.attempt, taken.results, taken.ready) == (-1, None, None)
    assert (taken.steps, taken.data) == ({"5": "there"}, "data/a")
    with pytest.raises(Fenced, match="taken over by job default/second"):
        wanted(uid=UID, name="first")(taken)


def test_what_is_deleted_is_never_that_of_somebody_newer() -> None:
    """Whoever sweeps may have been asleep since it raised its fence."""
    own, earlier, later = fence(1), fence(0), fence(2)
    before, after = (fence(0, uid="aaaaaaaa-job-before"), fence(5, uid="bbbbbbbb-job-after"))
    kept = prefix_of(5, earlier, 0)
    now = Record(owner=OwnerRecord(job_uid=UID, previous=(before.job_uid,)), steps={"5": kept})
    lost = [prefix_of(10, earlier, 1), prefix_of(7, before, 0)]
    spared = [kept, "checkpoints/mine", *(prefix_of(15, one, 0) for one in (own, later, after))]
    names = [f"{prefix}/state/x".removeprefix("checkpoints/") for prefix in (*lost, *spared)]
    assert left_over(names, now, own) == sorted(lost)


def test_torn_steps_push_no_good_one_out(tmp_path: Path) -> None:
    bucket, folder = Bucket(str(tmp_path / "store")), tmp_path / "files"
    folder.mkdir()
    (folder / "state").write_bytes(b"12345678")
    (folder / "manifest.json").write_text('{"step": 1, "files": {"state": {"size": 8, "sha256": ""}}}')
    for step in (1, 2, 3, 4):
        bucket.upload(folder, ["state", "manifest.json"], f"checkpoints/{step}")
    (tmp_path / "store/checkpoints/3/state").unlink()
    now = Record(steps={str(step): f"checkpoints/{step}" for step in (1, 2, 3, 4, 9)})
    assert retired(bucket, now, 5, 3) == [1]
    assert retired(bucket, now, 5, 1) == [4, 3, 2, 1]
    assert retired(bucket, changed(now, torn={"checkpoints/4": "x"}), 5, 2) == [1]
    assert retired(bucket, now, 5, 9) == []


def test_the_newest_best_step_with_weights_is_the_one_to_export(tmp_path: Path) -> None:
    bucket, folder = Bucket(str(tmp_path / "store")), tmp_path / "files"
    folder.mkdir()
    for step, best, name in (
        (1, True, "weights/a"),
        (2, True, "weights/a"),
        (3, True, "state"),
        (4, False, "weights/a"),
    ):
        files = {name: {"size": 8, "sha256": ""}}
        (folder / "manifest.json").write_text(json.dumps({"step": step, "best": best, "files": files}))
        bucket.upload(folder, ["manifest.json"], f"checkpoints/{step}")
    now = Record(steps={str(step): f"checkpoints/{step}" for step in (1, 2, 3, 4)})
    assert best_of(bucket, now) == [2, 1]
    assert best_of(bucket, changed(now, torn={"checkpoints/2": "x"})) == [1]
    assert retired(bucket, now, 5, 1, spared=2) == [4, 3, 1]


def test_a_folder_that_appears_while_it_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """s3fs finds nothing, then that there is something, and gives the folder itself."""
    ledger = Ledger(Bucket(str(tmp_path / "store")))
    found = {f"{tmp_path}/store/log{end}": {"size": 0, "type": "directory"} for end in ("", "/")}
    monkeypatch.setattr(ledger.bucket._files, "find", lambda _path, **_: found)
    assert ledger.read() == Record()


def test_errors_name_the_store(tmp_path: Path) -> None:
    bucket = Bucket(str(tmp_path / "store"))
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "store")):
        bucket.read("log/1")
    assert bucket.sizes("log") == {}
    bucket.delete("log")


OUTSIDE = ["/etc/evil", "../evil", "state/../../evil", "state//evil", "./evil", "", "state\\evil", "state/"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_from_the_store_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    bucket, mine = Bucket(str(tmp_path / "store")), Fence(Output(tmp_path / "node"), UID, 0, "pod")
    entry = {"size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    manifest: dict[str, Any] = {"step": 5, "files": {name: entry}}
    step = tmp_path / "store/checkpoints/5"
    step.mkdir(parents=True)
    (step / "manifest.json").write_text(json.dumps(manifest))
    mine.folder.mkdir(parents=True)
    reason = fetch_step(bucket, "checkpoints/5", mine, 5)
    assert reason
    assert "inside of the step" in reason
    with pytest.raises(OSError, match="is not a name inside a folder"):
        bucket.download("checkpoints/5", ["manifest.json", name], mine.folder)
    assert list(mine.folder.iterdir()) == []
    assert "not the name of a file inside" in (differing(step, manifest["files"]) or "")


def test_a_manifest_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("evil")
    folder = tmp_path / "step-5"
    folder.mkdir()
    (folder / "state").symlink_to(tmp_path / "secret")
    entry = {"size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    assert differing(folder, {"state": entry}) == "state is a link, and links are not followed"


COMMON, WHOLE_WEIGHTS = "state/mp_rank_00_model_states.pt", "weights/model.safetensors"


def _shard(rank: int, kind: str = "optim", before: str = "") -> str:
    return f"state/{before}zero_pp_rank_{rank}_mp_rank_00_{kind}_states.pt"


def _manifest(layout: Layout, names: list[str]) -> Manifest:
    content = hashlib.sha256(b"good").hexdigest()
    files = {name: {"size": 4, "sha256": content} for name in names}
    return Manifest.model_validate({"step": 5, "layout": asdict(layout), "files": files})


@pytest.mark.parametrize(
    ("layout", "names", "wanted"),
    [
        (Layout(data=4, zero=0), [COMMON], [COMMON]),
        (Layout(data=4), [COMMON, *map(_shard, range(4))], [COMMON, _shard(2), _shard(3)]),
        (
            Layout(data=4, zero=2),
            [COMMON, *(_shard(rank, before="bf16_") for rank in range(4)), WHOLE_WEIGHTS],
            [COMMON, _shard(2, before="bf16_"), _shard(3, before="bf16_")],
        ),
        (
            Layout(data=4, zero=3),
            [_shard(rank, kind) for kind in ("model", "optim") for rank in range(4)],
            [_shard(rank, kind) for kind in ("model", "optim") for rank in (2, 3)],
        ),
    ],
    ids=["zero 0", "zero 1", "zero 2 in bf16", "zero 3"],
)
def test_in_the_layout_of_a_step_a_node_reads_what_its_ranks_wrote(
    layout: Layout, names: list[str], wanted: list[str]
) -> None:
    assert Readers(range(2, 4), layout).files_of(_manifest(layout, names)) == wanted


def _cut(data: int, part: int) -> str:
    return f"state/zero_pp_rank_{data}_mp_rank_{part:02d}_optim_states.pt"


@pytest.mark.parametrize(
    ("layout", "wanted"),
    [
        (Layout(data=2, tensor=2), [_cut(1, 0), _cut(1, 1)]),
        (Layout(data=2, pipeline=2), [_cut(0, 1), _cut(1, 1)]),
        (Layout(data=2, sequence=2), [_cut(2, 0), _cut(3, 0)]),
    ],
    ids=str,
)
def test_of_a_model_that_is_cut_a_node_reads_what_its_ranks_wrote(layout: Layout, wanted: list[str]) -> None:
    """Ranks 2 and 3 of four; weights that are not a rank's own are everybody's."""
    common = [COMMON, "state/mp_rank_01_model_states.pt", "state/layer_00-model_states.pt"]
    own = [_cut(data, part) for data in range(4) for part in range(2)]
    found = Readers(range(2, 4), layout).files_of(_manifest(layout, [*common, *own, WHOLE_WEIGHTS]))
    assert found == [*common, *wanted]


@pytest.mark.parametrize(
    "now", [Layout(data=4), Layout(data=2, zero=2), Layout(data=1, tensor=2), None], ids=str
)
def test_of_another_layout_ranks_read_parts(now: Layout | None) -> None:
    manifest = _manifest(Layout(data=2), [COMMON, _shard(0), _shard(1)])
    if now is None:
        now, manifest = Layout(data=2), changed(manifest, layout=None)
    readers = Readers([1], now)
    assert readers.in_parts(manifest)
    assert readers.files_of(manifest) == []


def test_what_a_node_gets_is_held_against_its_digests_and_the_rest_is_not_there(tmp_path: Path) -> None:
    layout, names = Layout(data=2), [COMMON, _shard(0), _shard(1)]
    bucket, mine = Bucket(str(tmp_path / "store")), Fence(Output(tmp_path / "node"), UID, 0, "pod")
    step = tmp_path / "store/checkpoints/5"
    (step / "state").mkdir(parents=True)
    for name in names:
        (step / name).write_text("good")
    (step / "manifest.json").write_text(_manifest(layout, names).model_dump_json(by_alias=True))
    mine.folder.mkdir(parents=True)
    readers = Readers([1], layout)
    (step / _shard(0)).write_text("evil")
    assert fetch_step(bucket, "checkpoints/5", mine, 5, readers=readers) is None
    there = {str(path.relative_to(mine.output.step(5))) for path in mine.output.step(5).rglob("*.pt")}
    assert there == {COMMON, _shard(1)}
    (step / _shard(1)).write_text("evil")
    assert "zero_pp_rank_1" in (fetch_step(bucket, "checkpoints/5", mine, 5, readers=readers) or "")
    assert "zero_pp_rank_0" in (fetch_step(bucket, "checkpoints/5", mine, 5) or "")
