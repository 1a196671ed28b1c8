"""Parts of files that come to the whole, rows as a view of tokens, and units that are made once."""

from __future__ import annotations

import io
import json
import os
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness.builders import job_file, least_spec
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_api import JobFile
from llmtrain_trainer.data.documents import documents_of, units_of_source
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.forms import Form
from llmtrain_trainer.data.reading.pieces import Piece, border, lines_before, pieces_of
from llmtrain_trainer.data.reading.reader import Bounds, Progress
from llmtrain_trainer.data.reading.record import TakeText
from llmtrain_trainer.data.reading.survey import DataFile
from llmtrain_trainer.data.sources import Text, documents, of_pieces, surveyed, texts_of
from llmtrain_trainer.data.tokenizer import train_bpe
from llmtrain_trainer.data.units import plan, pool
from llmtrain_trainer.data.units.plan import Unit
from llmtrain_trainer.data.units.pool import make_units, workers_for
from llmtrain_trainer.data.units.stream import StreamRows
from llmtrain_trainer.data.units.token_set import TokenSet, UnitTokens, read_set
from llmtrain_trainer.data.units.work import Made, Work, done, read_all, record_file, tokens_file
from llmtrain_trainer.errors import ConfigError
from llmtrain_trainer.special_tokens import OURS

SOURCE = Text("dataset.name", "pvc://texts/data", Path("unused"), None)


def file_of(path: Path, form: Form) -> DataFile:
    return DataFile(path, path.name, form, "", path.stat().st_size)


def read(pieces: list[Piece], counts: ReadCounts | None = None) -> list[str]:
    return list(of_pieces(SOURCE, pieces, Bounds(1 << 16), TakeText(), counts or ReadCounts()))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pieces")


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=20),
    st.integers(1, 60),
    st.booleans(),
)
def test_rows_of_all_parts_are_those_of_the_file(
    scratch: Path, texts: list[str], most: int, end: bool
) -> None:
    path = scratch / "a.jsonl"
    lines = [json.dumps({"text": f"x{text}"}, ensure_ascii=False) for text in texts]
    path.write_text("\n".join(lines) + ("\n" if end else ""), newline="")
    counts = ReadCounts()
    pieces = pieces_of(file_of(path, Form.LINES), most, None)
    assert read(pieces, counts) == [f"x{text}" for text in texts]
    assert [text for piece in pieces for text in read([piece])] == [f"x{text}" for text in texts]
    assert (counts.files, counts.bytes_total) == (1, path.stat().st_size)


@given(
    st.lists(st.sampled_from(["word", " ", "\n", "\n\n", "\n \r\n", "é", "漢字", "😀"]), max_size=60),
    st.integers(1, 40),
)
def test_parts_of_a_text_are_the_text_and_cut_no_character(
    scratch: Path, parts: list[str], most: int
) -> None:
    path = scratch / "a.txt"
    text = "x" + "".join(parts)
    path.write_text(text, newline="")
    counts = ReadCounts()
    pieces = pieces_of(file_of(path, Form.TEXT), most, None)
    found = list(of_pieces(SOURCE, pieces, Bounds(1 << 16), TakeAll(), counts))
    assert "".join(found) == text
    assert counts.replaced == 0


class TakeAll(TakeText):
    """Blank texts too."""

    def __call__(self, record: Any) -> Any:
        taken = super().__call__(record)
        return type(taken)(taken.item, taken.size, taken.replaced, False)


def test_borders_prefer_blank_lines_and_follow_from_the_place_alone() -> None:
    text = b"one\ntwo\n\nthree\n \nfour" + b"x" * 50
    file = io.BytesIO(text)
    assert [border(file, at, len(text), Form.TEXT) for at in (0, 1, 8, 10, 999)] == [0, 9, 9, 17, len(text)]
    assert [border(file, at, len(text), Form.LINES) for at in (1, 4, 5, 20)] == [4, 4, 8, len(text)]
    assert border(io.BytesIO("aé".encode() * 9), 2, 27, Form.TEXT) == 3
    assert [lines_before(file, at) for at in (0, 4, 9)] == [0, 1, 3]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_what_cannot_be_read_from_the_middle_is_one_part(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes("\n".join(json.dumps({"text": "a" * 50}) for _ in range(50)).encode(encoding))
    assert pieces_of(file_of(path, Form.LINES), 100, None) == [
        Piece(file_of(path, Form.LINES), 0, None, path.stat().st_size)
    ]
    for form in (Form.CSV, Form.JSON):
        assert len(pieces_of(file_of(path, form), 100, None)) == 1
    packed = DataFile(path, "a.jsonl.gz", Form.LINES, ".gz", path.stat().st_size)
    assert len(pieces_of(packed, 100, None)) == 1


def test_parts_of_a_table_are_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{number} " + os.urandom(40).hex() for number in range(500)]
    pq.write_table(pa.table({"text": texts, "n": range(500)}), path, row_group_size=50)
    pieces = pieces_of(file_of(path, Form.PARQUET), 9000, ("text",))
    assert len(pieces) > 3
    assert sum(piece.size for piece in pieces) == path.stat().st_size
    assert [text for piece in pieces for text in read([piece])] == texts


@pytest.mark.parametrize("line", [1, 500, 999])
def test_a_mistake_in_any_part_is_told_with_the_line_of_the_file(tmp_path: Path, line: int) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": f"row {number} ééé"}) for number in range(1000)]
    rows[line - 1] = '{"text": 3}'
    path.write_text("\n".join(rows))
    pieces = pieces_of(file_of(path, Form.LINES), 2000, None)
    assert len(pieces) > 10
    with pytest.raises(ConfigError, match=f"a.jsonl line {line} is no object with a text: its text is a"):
        read(pieces)
    number = (line - 1) * len(pieces) // 1000
    with pytest.raises(ConfigError, match=f"a.jsonl line {line} is"):
        deque(read([piece]) for piece in pieces[max(0, number - 1) :])


def test_bytes_that_are_no_text_are_told_with_their_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [json.dumps({"text": "word " * 100}).encode() for _ in range(100)]
    rows[70] = rows[70].replace(b"word", b"w\xe9rd", 1)
    path.write_bytes(b"\n".join(rows))
    counts = ReadCounts()
    read(pieces_of(file_of(path, Form.LINES), 5000, None), counts)
    assert counts.replaced == 1
    assert counts.first_replaced == f"a.jsonl byte {path.read_bytes().index(bytes([0xE9]))}"


@given(
    st.lists(st.lists(st.integers(1, 40), max_size=6), min_size=1, max_size=4),
    st.integers(1, 25),
)
def test_rows_are_the_stream_of_each_source_cut_to_length(
    scratch: Path, sources: list[list[int]], length: int
) -> None:
    files, expected, at = [], [], 0
    for source, counts in enumerate(sources):
        told, stream = [], []
        for number, count in enumerate(counts):
            path = scratch / f"{source}-{number}"
            ids = np.arange(at, at + count, dtype=np.uint32)
            ids.tofile(path)
            at += count
            told.append((path, count))
            stream.append(ids)
        files.append(told)
        whole = np.concatenate(stream) if stream else np.zeros(0, np.uint32)
        expected += whole[: len(whole) // length * length].reshape(-1, length).tolist()
    rows = StreamRows(files, "uint32", length)
    assert np.asarray(rows).tolist() == expected
    assert len(rows) == sum(rows.of_sources) == len(expected)
    with pytest.raises(IndexError):
        rows[len(rows)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Work, list[Unit]]:
    """Two sources, a dozen units of a few kilobytes."""
    monkeypatch.setattr(plan, "UNIT", 20_000)
    monkeypatch.setattr(pool, "WORTH", 0)
    return prepared(tmp_path)


def prepared(folder: Path) -> tuple[Work, list[Unit]]:
    for name in ("one", "two"):
        (folder / name).mkdir()
        for part in range(3):
            rows = [json.dumps({"text": f"{name} row {number} says {part} words"}) for number in range(900)]
            (folder / name / f"{part}.jsonl").write_text("\n".join(rows))
    mixture = [{"name": f"file://{folder}/{name}", "weight": 1} for name in ("one", "two")]
    asked: JobFile = job_file(least_spec(dataset={"mixture": mixture}))
    sources = tuple(texts_of(asked))
    tokens = folder / "tokens"
    train_bpe(["some words are said here"] * 9, 300, []).save(str(made_folder(tokens) / "encoder.json"))
    units = [
        unit
        for number, source in enumerate(sources)
        for unit in units_of_source(source, surveyed(source).files, number)
    ]
    return Work(asked, sources, tokens, "key", "uint16", OURS, "pieces"), units


def made_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("unit-*"))}


def test_units_are_all_documents_in_order(work: tuple[Work, list[Unit]]) -> None:
    asked, units = work
    assert len(units) > 8
    for source in asked.sources:
        assert [one.text for one in documents_of(asked.job, source)] == list(documents(source))
    assert {unit.source for unit in units} == {0, 1}
    assert len({unit.name for unit in units}) == len(units)


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_processes_makes_the_same_bytes(work: tuple[Work, list[Unit]], workers: int) -> None:
    asked, units = work
    passed: list[int] = []
    make_units(asked, units, passed.append, workers=1)
    alone = contents(asked.folder)
    for path in asked.folder.glob("unit-*"):
        path.unlink()
    passed.clear()
    make_units(asked, units, passed.append, workers=workers)
    assert contents(asked.folder) == alone
    assert len(alone) == 3 * len(units)
    assert sum(passed) == sum(unit.size for unit in units)


def test_only_what_is_missing_or_was_made_otherwise_is_made(
    work: tuple[Work, list[Unit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, units = work
    make_units(asked, units, lambda _: None, workers=1)
    before = contents(asked.folder)
    record_file(asked.folder, units[1].name).unlink()
    tokens_file(asked.folder, units[2].name, "train").write_bytes(b"torn")
    record = json.loads(record_file(asked.folder, units[3].name).read_text())
    record_file(asked.folder, units[3].name).write_text(json.dumps(record | {"key": "other"}))
    record_file(asked.folder, units[4].name).write_text("{}")
    made: list[str] = []
    make = pool.make

    def counted(work: Work, unit: Unit, told: Progress) -> None:
        made.append(unit.name)
        make(work, unit, told)

    monkeypatch.setattr(pool, "make", counted)
    passed: list[int] = []
    make_units(asked, units, passed.append, workers=1)
    assert made == [unit.name for unit in units[1:5]]
    assert contents(asked.folder) == before
    assert sum(passed) == sum(unit.size for unit in units)


def test_another_file_or_setting_is_another_unit(work: tuple[Work, list[Unit]], tmp_path: Path) -> None:
    asked, units = work
    make_units(asked, units, lambda _: None, workers=1)
    assert all(done(asked, unit) for unit in units)
    other = Work(asked.job, asked.sources, asked.folder, "other", "uint16", OURS, "pieces")
    assert not done(other, units[0])
    (tmp_path / "one" / "0.jsonl").write_text('{"text": "changed"}')
    changed = units_of_source(asked.sources[0], surveyed(asked.sources[0]).files)
    assert not done(asked, changed[0])
    with pytest.raises(RuntimeError, match="is not there, or not as it was made"):
        list(read_all(asked, changed))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_in_a_unit_is_told_as_it_is(work: tuple[Work, list[Unit]], workers: int) -> None:
    asked, units = work
    path = Path(units[-1].pieces[-1].file.path)  # type: ignore[arg-type]
    rows = path.read_text().split("\n")
    rows[-2] = '{"text": null}'.ljust(len(rows[-2]))
    path.write_text("\n".join(rows))
    with pytest.raises(ConfigError) as caught:
        make_units(asked, units, lambda _: None, workers=workers)
    assert "two: 2.jsonl line 899 is no object with a text: its text is null" in caught.value.message
    assert caught.value.hint.startswith("use {")


def test_workers_fit_cores_units_and_memory(
    work: tuple[Work, list[Unit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, units = work
    monkeypatch.setattr(pool, "cores", lambda: 64)
    most = len(units)
    assert workers_for(asked, units) == min(most, ((4 << 30) - pool.OWN_MEMORY) // pool.WORKER_MEMORY)
    monkeypatch.setattr(pool, "cores", lambda: 2)
    assert workers_for(asked, units) == 2
    monkeypatch.setattr(pool, "WORTH", 1 << 30)
    assert workers_for(asked, units) == 1


def test_a_set_tells_what_is_torn(tmp_path: Path) -> None:
    for side, count in (("train", 3), ("heldout", 1)):
        np.zeros(count, np.uint16).tofile(tmp_path / f"unit-00-000000.{side}")
    digests = ("x", "y")
    found = TokenSet({}, "uint16", 0, [[UnitTokens("00-000000", (1, 1), (3, 1), digests)]], [{}])
    found.write(tmp_path)
    assert read_set(tmp_path) == found
    assert found.torn(tmp_path) is None
    assert found.torn(tmp_path, contents=True) == "unit-00-000000.train has another sha256 than set.json says"
    (tmp_path / "unit-00-000000.heldout").write_bytes(b"")
    assert found.torn(tmp_path) == "unit-00-000000.heldout has 0 bytes instead of 2"
    (tmp_path / "unit-00-000000.train").unlink()
    assert "unit-00-000000.train: No such file" in str(found.torn(tmp_path))
    for bad in ("", "[]", '{"key": {}}', '{"sources": [[{"a": 1}]]}'):
        (tmp_path / "set.json").write_text(bad)
        assert read_set(tmp_path) is None
        (tmp_path / "unit.json").write_text(bad)
        assert Made.read(tmp_path / "unit.json") is None
