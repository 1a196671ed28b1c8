"""Rows in tables and in compressed files: read whole, or refused by file, row and fix."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from harness.models.raw import POINTER
from hypothesis import given
from hypothesis import strategies as st

from llmtrain_trainer.data.reading.compression import COMPRESSIONS
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.csv_rows import delimiter_of, rows_of_csv
from llmtrain_trainer.data.reading.patterns import Pattern, only, split
from llmtrain_trainer.data.reading.record import TakeRow, TakeText
from llmtrain_trainer.data.sources import Text, documents, records
from llmtrain_trainer.errors import ConfigError

TEXTS = [f'row {number}, "quoted"\nand over two lines' for number in range(300)]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def source(path: Path, column: str = "text", limit: int | None = None) -> Text:
    return Text("dataset.name", "pvc://texts/data", path, limit, column)


def read(path: Path, column: str = "text", limit: int | None = None) -> tuple[list[str], ReadCounts]:
    counts = ReadCounts()
    return list(documents(source(path, column, limit), counts)), counts


def refused(path: Path, column: str = "text") -> str:
    with pytest.raises(ConfigError) as caught:
        read(path, column)
    return str(caught.value)


def table(rows: list[dict[str, Any]], delimiter: str = ",", end: str = "\r\n") -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> None:
    pq.write_table(pa.table(columns), path, **options)


ROWS = [{"id": number, "body": text, "text": f"t{number}"} for number, text in enumerate(TEXTS)]


def written(name: str) -> bytes:
    if ".parquet" in name:
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(ROWS), out, row_group_size=70)
        return out.getvalue()
    if ".csv" in name or ".tsv" in name:
        return table(ROWS, "\t" if ".tsv" in name else ",").encode()
    if ".jsonl" in name:
        return "\n".join(json.dumps(row) for row in ROWS).encode()
    return json.dumps(ROWS).encode()


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("form", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_every_form_gives_the_column_that_is_asked_for(tmp_path: Path, form: str, packing: str) -> None:
    if form == ".parquet" and packing:
        return
    path = tmp_path / f"a{form}{packing}"
    path.write_bytes(PACK[packing](written(form)))
    texts, counts = read(tmp_path, "body")
    assert texts == TEXTS
    assert counts.report()["bytesRead"] == path.stat().st_size
    assert read(tmp_path)[0] == [f"t{number}" for number in range(300)]
    assert read(path)[0] == read(tmp_path)[0]


@pytest.mark.parametrize("form", [".jsonl", ".json", ".csv", ".parquet"])
def test_records_are_whole_rows_and_say_where_they_stand(tmp_path: Path, form: str) -> None:
    (tmp_path / f"a{form}").write_bytes(written(form))
    found = list(records(source(tmp_path)))
    assert [record.value for record in found] == [
        {key: str(value) if form == ".csv" else value for key, value in row.items()} for row in ROWS
    ]
    lines = {".jsonl": "a.jsonl line 3", ".json": "a.json line 1", ".csv": "a.csv line 6"}
    assert found[2].where == lines.get(form, "a.parquet row 3")
    assert [record.value for record in records(source(tmp_path), take=TakeRow(("id",)))][:1] == [
        {"id": "0" if form == ".csv" else 0} if form in (".csv", ".parquet") else ROWS[0]
    ]


def test_dialogues_come_as_they_are(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi \ud83d"}, {"role": "assistant", "content": "hello"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns}))
    parquet(tmp_path / "b.parquet", {"messages": [[{"role": "user", "content": "hi"}]]})
    first, second = records(source(tmp_path))
    assert first.value == {"messages": [{"role": "user", "content": "hi \ufffd"}, turns[1]]}
    assert second.value == {"messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_all_programs_are_read(tmp_path: Path, end: str, delimiter: str, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(table(ROWS, delimiter, end).encode(encoding))
    assert read(tmp_path, "body")[0] == TEXTS


def test_a_table_may_say_its_delimiter_and_have_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sep=;\n\n" + table(ROWS, ";").replace('"\r\n', '"\r\n\r\n'))
    (tmp_path / "b.csv").write_text("text\n" + "a;b\n" * 3)
    (tmp_path / "c.csv").write_text("\n")
    assert read(tmp_path / "a.csv")[0] == [row["text"] for row in ROWS]
    assert read(tmp_path / "b.csv")[0] == ["a;b"] * 3
    assert read(tmp_path)[1].files == 3


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9), min_size=2, max_size=2
        ),
        max_size=6,
    ),
    st.sampled_from(",;\t|"),
    st.integers(1, 9),
)
def test_a_table_is_read_the_same_in_pieces_of_any_length(
    rows: list[list[str]], delimiter: str, length: int
) -> None:
    whole = table([{"text": "x", "b": "y"}, *({"text": a, "b": b} for a, b in rows)], delimiter)
    chunks = iter([whole[at : at + length] for at in range(0, len(whole), length)])
    found = [record.value for record in rows_of_csv(chunks, "a.csv", TakeText())]
    assert found[1:] == [{"text": text} for text, _ in rows]


def test_the_delimiter_is_that_of_the_header() -> None:
    assert delimiter_of('"a,b,c";d', "a.csv") == ";"
    assert delimiter_of("a,b", "a.tsv.gz") == "\t"
    assert delimiter_of("text", "a.csv") == ","


def test_parquet_of_every_kind_of_string(tmp_path: Path) -> None:
    texts = ["ein Café", "", None, "x"]
    for number, kind in enumerate(
        [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        parquet(folder / "a.parquet", {"text": pa.array(["ein Café", "", "x"], kind)})
        assert read(folder)[0] == ["ein Café", "x"]
    parquet(tmp_path / "null.parquet", {"text": pa.array(texts)})
    assert "null.parquet row 3 is no object with a text: its text is null" in refused(
        tmp_path / "null.parquet"
    )


def test_bytes_in_parquet_that_are_no_text_are_replaced_and_counted(tmp_path: Path) -> None:
    data = pa.array([b"a" * 300, b"caf\xe9", "\ufffd".encode(), b"x"], pa.binary())
    parquet(tmp_path / "a.parquet", {"text": pa.Array.from_buffers(pa.string(), 4, data.buffers())})
    texts, counts = read(tmp_path)
    assert texts == ["a" * 300, "caf\ufffd", "\ufffd", "x"]
    assert (counts.replaced, counts.first_replaced) == (1, "a.parquet row 2")


def test_frames_of_zstd_are_read_one_after_another_and_a_bomb_in_pieces(tmp_path: Path) -> None:
    frames = zstandard.compress(b'{"text": "a"}\n') + zstandard.compress(b'{"text": "b"}\n')
    (tmp_path / "a.jsonl.zst").write_bytes(frames)
    assert read(tmp_path)[0] == ["a", "b"]
    bomb = zstandard.compress(bytes(1 << 28))
    stream = COMPRESSIONS[".zst"](io.BytesIO(bomb))
    sizes = []
    while piece := stream.read1(1 << 30):  # type: ignore[attr-defined]
        sizes.append(len(piece))
    assert sum(sizes) == 1 << 28
    assert max(sizes) <= 1 << 26


GOOD = b'{"text": "good"}\n'
TORN = {end: pack(GOOD * 999)[:-9] for end, pack in PACK.items() if end}


def torn_parquet() -> bytes:
    data = bytearray(written(".parquet"))
    data[4 : len(data) // 2] = bytes(len(data) // 2 - 4)
    return bytes(data)


BAD: dict[str, tuple[str, bytes, str]] = {
    "csv without the column": (
        "a.csv",
        b"id,body\n1,x\n",
        "a.csv has no column 'text': its columns are body, id",
    ),
    "csv with a column twice": (
        "a.csv",
        b"text,text\n1,x\n",
        "a.csv has two columns that are named 'text'",
    ),
    "csv with a field too many": (
        "a.csv",
        b"text,b\n1,x\n1,x,y\n",
        "a.csv line 3 has 3 fields, and the header has 2",
    ),
    "csv with a field too few": (
        "a.csv",
        b"text,b\n1\n",
        "a.csv line 2 has 1 fields, and the header has 2",
    ),
    "csv with a quote that never ends": (
        "a.csv",
        b'text\na\n"b\n',
        "a.csv line 3 cannot be read as a row",
    ),
    "csv with text after a quote": (
        "a.csv",
        b'text\n"b"c\n',
        "a.csv line 2 cannot be read as a row: ',' expected",
    ),
    "csv with old line ends": (
        "a.csv",
        b"text\rrow\r",
        "a.csv line 1 cannot be read as a row: new-line",
    ),
    "csv with a row after many lines": (
        "a.csv",
        b'text\n"a\nb\nc"\nd,e\n',
        "a.csv line 5 has 2 fields",
    ),
    "csv in latin-1": (
        "a.csv",
        b"text\n" + b"caf\xe9\n" * 90,
        "a.csv is not utf-8 text",
    ),
    "tsv with commas": (
        "a.tsv",
        b"id,text\n1,x\n",
        "a.tsv has no column 'text': its columns are id,text",
    ),
    "jsonl without the column": (
        "a.jsonl",
        b'{"body": "x"}',
        "line 1 is no object with a text: it has body",
    ),
    "jsonl of dialogues": (
        "a.jsonl",
        b'{"id": 1, "messages": []}',
        "it has id, messages, which task: chat trains on",
    ),
    "jsonl of pairs": (
        "a.jsonl",
        b'{"chosen": "x", "rejected": "y"}',
        "it has chosen, rejected, which task: preference trains on",
    ),
    "jsonl of translations": (
        "a.jsonl",
        b'{"source": "x", "target": "y"}',
        "it has source, target, which task: text2text trains on",
    ),
    "csv of questions": (
        "a.csv",
        b"question,context,answers\nx,y,z\n",
        "its columns are answers, context, question, which task: questionAnswering trains on",
    ),
    "jsonl of lists": (
        "a.jsonl",
        b"[1]\n",
        "a.jsonl line 1 is no object with a text: it is an array",
    ),
    "jsonl with a number": (
        "a.jsonl",
        GOOD + b'{"text": 3}',
        "a.jsonl line 2 is no object with a text: its text is a number",
    ),
    "jsonl with messages": (
        "a.jsonl",
        b'{"text": [{"role": "user"}]}',
        "line 1 is no object with a text: its text is an array",
    ),
    "jsonl of one array": (
        "a.jsonl",
        b'[{"text": "x"}]',
        "it is an array, as a .json file holds: name the file so, or put each object on a line of its own",
    ),
    "jsonl of instructions": (
        "a.jsonl",
        b'{"instruction": "x", "input": "", "output": "y"}',
        "it has input, instruction, output, which task: chat trains on",
    ),
    "a pointer for jsonl": ("a.jsonl", POINTER, "a.jsonl is a pointer of Git LFS: the file itself was not"),
    "a pointer for json": ("a.json", POINTER, "a.json is a pointer of Git LFS: the file itself was not"),
    "a pointer for text": ("a.txt", POINTER, "a.txt is a pointer of Git LFS: the file itself was not"),
    "a pointer for parquet": ("a.parquet", POINTER, "a.parquet is a pointer of Git LFS: the file itself"),
    "a pointer for gzip": ("a.jsonl.gz", POINTER, "a.jsonl.gz is a pointer of Git LFS: the file itself"),
    "jsonl cut short": (
        "a.jsonl",
        GOOD + b'{"text": "x',
        "a.jsonl line 2 is no object with a text: it is not JSON",
    ),
    "jsonl with a comma": (
        "a.jsonl",
        GOOD.strip() + b",\n",
        "line 1 is no object with a text: it is not JSON (Extra",
    ),
    "jsonl of Python": (
        "a.jsonl",
        b"{'text': 'x'}",
        "a.jsonl line 1 is no object with a text: it is not JSON",
    ),
    "json cut short": (
        "a.json",
        b'[{"text": "x"}, {"te',
        "a.json line 1 is no object with a text: it is not JSON",
    ),
    "json of strings": (
        "a.json",
        b'[\n"x"]',
        "a.json line 2 is no object with a text: it is a string",
    ),
    "a row without end": (
        "a.jsonl",
        b'{"text": "' + b"x" * (33 << 20),
        "a.jsonl line 1 is a row of more than 32 Mi characters",
    ),
    "no parquet": (
        "a.parquet",
        b"PAR1 and then not",
        "a.parquet is no parquet file",
    ),
    "empty parquet": (
        "a.parquet",
        b"",
        "a.parquet is no parquet file",
    ),
    "torn parquet": (
        "a.parquet",
        written(".parquet")[:-40],
        "a.parquet is no parquet file",
    ),
    "damaged parquet": (
        "a.parquet",
        torn_parquet(),
        "a.parquet cannot be read as parquet",
    ),
    "packed parquet": (
        "a.parquet.gz",
        gzip.compress(written(".parquet")),
        "in a form that is not read, such as a.parquet.gz",
    ),
    "torn gzip": (
        "a.jsonl.gz",
        TORN[".gz"],
        "a.jsonl.gz is damaged or cut short",
    ),
    "torn zstd": (
        "a.jsonl.zst",
        TORN[".zst"],
        "a.jsonl.zst is damaged or cut short",
    ),
    "torn bzip2": (
        "a.jsonl.bz2",
        TORN[".bz2"],
        "a.jsonl.bz2 is damaged or cut short",
    ),
    "torn xz": (
        "a.jsonl.xz",
        TORN[".xz"],
        "a.jsonl.xz is damaged or cut short",
    ),
    "no gzip": (
        "a.csv.gz",
        b"text\na\n",
        "a.csv.gz is damaged or cut short",
    ),
    "no zstd": (
        "a.csv.zst",
        b"text\na\n",
        "a.csv.zst is damaged or cut short",
    ),
    "no bzip2": (
        "a.json.bz2",
        b"[]",
        "a.json.bz2 is damaged or cut short",
    ),
    "no xz": (
        "a.txt.xz",
        b"text",
        "a.txt.xz is damaged or cut short",
    ),
    "json that is zstd": (
        "a.json.zst",
        b"[]",
        "a.json.zst is damaged or cut short",
    ),
    "arrow": (
        "a.arrow",
        b"ARROW1",
        "in a form that is not read, such as a.arrow",
    ),
    "a picture as text": (
        "a.txt",
        bytes(range(256)) * 9,
        "a.txt is not utf-8 text",
    ),
    "settings": (
        "a.json",
        b'{"model": 1}',
        "has no file ending in .txt",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_input_is_one_sentence_with_file_place_and_fix(tmp_path: Path, kind: str) -> None:
    name, data, reason = BAD[kind]
    (tmp_path / name).write_bytes(data)
    said = refused(tmp_path)
    assert said.startswith("dataset.name pvc://texts/data")
    assert reason in said
    fix = said[said.index(reason) + len(reason) :].partition("; ")[2]
    assert len(fix) > 10
    assert "\n" not in said
    assert len(said) < 700


COLUMNS: dict[str, tuple[Any, str]] = {
    "numbers": (pa.array([1, 2]), "the column 'text' holds int64, and text is wanted"),
    "bytes": (pa.array([b"x"]), "the column 'text' holds binary, and text is wanted"),
    "lists": (pa.array([["x"]]), "the column 'text' holds list<"),
    "dialogues": (pa.array([[{"role": "user"}]]), "the column 'text' holds list<"),
    "nothing": (pa.array([None]), "the column 'text' holds null, and text is wanted"),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of_parquet_that_is_no_text_is_refused_by_its_type(tmp_path: Path, kind: str) -> None:
    column, reason = COLUMNS[kind]
    parquet(tmp_path / "a.parquet", {"text": column, "id": pa.array(range(len(column)))})
    said = refused(tmp_path)
    assert f"a.parquet: {reason}" in said
    assert "name a column of strings in dataset.fields.text" in said
    assert "a.parquet has no column 'body': its columns are id, text" in refused(tmp_path, "body")


def test_a_limit_reads_the_beginning_of_a_table(tmp_path: Path) -> None:
    texts = ["word " * 400 + str(number) for number in range(500)]
    parquet(
        tmp_path / "a.parquet", {"text": texts}, row_group_size=100, compression="none", use_dictionary=False
    )
    found, counts = read(tmp_path, limit=500_000)
    assert found == texts[: len(found)]
    assert 240 < len(found) <= 250
    assert counts.files_cut == 1
    assert counts.bytes_not_read == pytest.approx((tmp_path / "a.parquet").stat().st_size / 2, rel=0.05)


NAMES = {
    "*.jsonl": ["a.jsonl", "b.jsonl"],
    "a.*": ["a.jsonl", "a.txt"],
    "[ab].jsonl": ["a.jsonl", "b.jsonl"],
    "sub*": ["sub/c.jsonl", "sub/deep/d.jsonl"],
    "*/c.jsonl": ["sub/c.jsonl"],
    "**/*.jsonl": ["a.jsonl", "b.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl"],
    "**": ["a.jsonl", "a.txt", "b.jsonl", "sub/c.jsonl", "sub/deep/d.jsonl"],
    "sub/deep": ["sub/deep/d.jsonl"],
    "b.jsonl": ["b.jsonl"],
}


@pytest.mark.parametrize("pattern", NAMES)
def test_a_name_may_have_wildcards(tmp_path: Path, pattern: str) -> None:
    for name in NAMES["**"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"text": name}) if "json" in name else name)
    assert sorted(read(tmp_path / pattern)[0]) == NAMES[pattern]
    assert read(tmp_path / pattern)[1].skipped == {}


def test_a_name_that_looks_like_a_pattern_is_a_name_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "[ab]").mkdir()
    (tmp_path / "[ab]" / "*.txt").write_text("star")
    (tmp_path / "[ab]" / "a.txt").write_text("a")
    (tmp_path / "a").mkdir()
    assert read(tmp_path / "[ab]")[0] == ["star", "a"]
    assert read(tmp_path / "[ab]" / "*.txt")[0] == ["star"]


@pytest.mark.parametrize("name", ["none.jsonl", "*.nothing", "no/such/*.txt"])
def test_a_name_that_nothing_has_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    said = refused(tmp_path / name)
    assert "no such folder or file" in said or "has no file ending in" in said


def test_patterns_prune_folders() -> None:
    assert split("/mnt/a/b*/c.txt") == ("/mnt/a", Pattern(("b*", "c.txt")))
    assert split("/mnt/a") == ("/mnt/a", Pattern())
    pattern = Pattern(("data-*", "*.txt"))
    assert pattern.leads_to("data-1")
    assert not pattern.leads_to("other")
    assert not pattern.leads_to("data-1/sub")
    assert Pattern().leads_to("any/where")
    assert only("a[1]*.txt").matches("a[1]*.txt")
    assert not only("a[1]*.txt").matches("a1x.txt")


def test_marks_and_encodings_of_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(codecs.BOM_UTF8 + '"text",b\r\n"Café",1\r\n'.encode())
    assert read(tmp_path)[0] == ["Café"]
