"""Records one after another: of writers that do not know of each other, one wins each time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from harness.builders import UID, job

from llmtrain_api import Results, changed
from llmtrain_trainer.checkpoint.fence import Fence
from llmtrain_trainer.errors import ConfigError, Fenced
from llmtrain_trainer.files import differing
from llmtrain_trainer.output import Output
from llmtrain_trainer.records import OwnerRecord, StartRecord
from llmtrain_trainer.storage.objectstore import record
from llmtrain_trainer.storage.objectstore.bucket import Bucket
from llmtrain_trainer.storage.objectstore.ledger import Ledger
from llmtrain_trainer.storage.objectstore.record import Record
from llmtrain_trainer.storage.objectstore.steps import fetch_step, left_over, prefix_of, retired

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
    assert retired(bucket, now, 5, 9) == []


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
