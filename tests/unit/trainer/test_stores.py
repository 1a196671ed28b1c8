"""Data in a bucket and on a hub: the same as in a folder, read in pieces, refused in one sentence."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.hub import Hub, hub
from harness.objectstore import Server, server

from llmtrain_trainer.data.reading import stores
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.sources import Text, documents, pin, surveyed
from llmtrain_trainer.errors import ConfigError

ROWS = "\n".join(json.dumps({"text": f"row {number}"}) for number in range(40))
TEXTS = [f"row {number}" for number in range(40)]


def packed() -> bytes:
    out = io.BytesIO()
    pq.write_table(
        pa.table({"text": TEXTS, "blob": [Random(n).randbytes(9000) for n in range(40)]}),
        out,
        row_group_size=10,
    )
    return out.getvalue()


FILES = {
    "README.md": b"A card.",
    ".gitattributes": b"x",
    "data/train.jsonl": ROWS.encode(),
    "data/more.jsonl.gz": gzip.compress(ROWS.encode()),
    "data/test.parquet": packed(),
    "run/OWNER": b"{}",
    "run/metrics.jsonl": b"{}",
    "dataset_infos.json": b'{"default": {}}',
}


def source(name: str, revision: str | None = None) -> Text:
    return Text("dataset.name", name, Path("unused"), None, "text", revision)


def refused(found: Text) -> str:
    with pytest.raises(ConfigError) as caught:
        list(documents(pin(found)))
    return str(caught.value)


@pytest.fixture(scope="module")
def bucket() -> Iterator[Server]:
    with server() as running:
        for name, data in FILES.items():
            running.files.pipe(f"{running.bucket}/lake/{name}", data)
        yield running


@pytest.fixture
def s3(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(f"DATASET_{name}", value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    stores._files.cache_clear()
    yield bucket
    stores._files.cache_clear()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as running:
        running.repository("datasets/owner/talk", FILES)
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        stores._files.cache_clear()
        yield running
        stores._files.cache_clear()


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("", TEXTS * 3),
        ("/data", TEXTS * 3),
        ("/data/train.jsonl", TEXTS),
        ("/*/*.parquet", TEXTS),
        ("/**/*.jsonl.gz", TEXTS),
    ],
)
@pytest.mark.usefixtures("s3")
def test_a_bucket_is_read_as_a_folder_is(folder: str, expected: list[str]) -> None:
    counts = ReadCounts()
    assert list(documents(source(f"s3://models/lake{folder}"), counts)) == expected
    if not folder:
        assert counts.report()["skipped"] == {
            "hidden": 1,
            "markdown beside data files": 1,
            "output of a job": 1,
            ".json without rows of text": 1,
        }
        assert counts.bytes_read == sum(len(data) for name, data in FILES.items() if name.startswith("data/"))


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_refuses_is_told_with_the_secret() -> None:
    assert "s3://models/none is not there" in refused(source("s3://models/none"))
    assert "s3://nothing/lake is not there" in refused(source("s3://nothing/lake"))
    with (
        pytest.raises(ConfigError, match=r"may not be read: .*; name a Secret in dataset\.secret"),
        stores.refused("dataset.name s3://models/lake", "s3"),
        stores.told("s3", "models/lake"),
    ):
        raise PermissionError("Access Denied")


def test_a_store_that_is_sick_is_tried_again() -> None:
    with (
        pytest.raises(OSError, match="s3://models/lake: Connection reset") as caught,
        stores.refused("x", "s3"),
        stores.told("s3", "models/lake"),
    ):
        raise RuntimeError("Connection reset")
    assert caught.value.errno == 5


@pytest.mark.parametrize("folder", ["", "/data"])
@pytest.mark.usefixtures("web")
def test_a_dataset_of_the_hub_is_read_as_a_folder_is(folder: str) -> None:
    assert list(documents(pin(source(f"owner/talk{folder}")))) == TEXTS * 3


def test_of_a_table_on_the_hub_only_the_column_is_fetched(web: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "BLOCK", 1 << 12)
    assert list(documents(pin(source("owner/talk/data/*.parquet")))) == TEXTS
    assert web.sent < len(FILES["data/test.parquet"]) / 3


def test_a_branch_that_moves_changes_nothing_once_it_is_pinned(web: Hub) -> None:
    repository = web.repositories["datasets/owner/talk"]
    first = repository.branches["main"]
    found = pin(source("owner/talk/data/train.jsonl"))
    assert found.revision == first
    repository.push({"data/train.jsonl": b'{"text": "moved"}'})
    assert list(documents(found)) == TEXTS
    assert list(documents(pin(source("owner/talk/data/train.jsonl")))) == ["moved"]
    assert list(documents(pin(source("owner/talk/data/train.jsonl", first)))) == TEXTS


def test_a_gated_dataset_names_the_secret_and_is_read_with_it(
    web: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.repository("datasets/owner/gated", {"a.txt": b"text"}, token="hf_right")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    said = refused(source("owner/gated"))
    assert "dataset.name owner/gated may not be read" in said
    assert "dataset.secret that holds HF_TOKEN" in said
    monkeypatch.setenv("DATASET_HF_TOKEN", "hf_right")
    stores._files.cache_clear()
    assert list(documents(pin(source("owner/gated")))) == ["text"]
    monkeypatch.setenv("DATASET_HF_TOKEN", "hf_wrong")
    said = refused(source("owner/gated"))
    assert "may not be read" in said
    assert "hf_wrong" not in said


@pytest.mark.parametrize(
    ("name", "revision", "reason"),
    [
        ("data/texts", None, "data/texts is not there"),
        ("owner/talk", "v9", "owner/talk is not there"),
        ("owner/talk/none", None, "owner/talk/none is not there"),
        ("owner/talk/*.xyz", None, "has no file ending in .txt"),
    ],
)
@pytest.mark.usefixtures("web")
def test_what_is_not_on_the_hub_says_what_a_folder_is(name: str, revision: str | None, reason: str) -> None:
    said = refused(source(name, revision))
    assert reason in said
    assert "pvc://CLAIM/FOLDER" in said or "correct the name" in said


def test_a_bad_row_in_a_store_is_named_as_in_a_folder(web: Hub) -> None:
    web.repository("datasets/owner/bad", {"sub/a.jsonl": b'{"text": "a"}\n{"body": 1}', "b.orc": b""})
    assert "owner/bad: 1 file(s) hold data in a form that is not read, such as b.orc" in refused(
        source("owner/bad")
    )
    said = refused(source("owner/bad/sub"))
    assert "owner/bad/sub: a.jsonl line 2 is no object with a text: it has body" in said


@pytest.mark.usefixtures("s3", "web")
def test_versions_of_files_tell_their_content() -> None:
    for one in (source("s3://models/lake"), pin(source("owner/talk"))):
        found = surveyed(one, ("text",))
        assert len({file.version for file in found.files}) == len(found.files) == 3
