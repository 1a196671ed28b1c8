"""Files as people have them: each is read, or refused by name; nothing is lost without a word."""

from __future__ import annotations

import codecs
import errno
import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmtrain_trainer.data.reading.blocks import SMALLEST, block_length, blocks
from llmtrain_trainer.data.reading.counts import ReadCounts
from llmtrain_trainer.data.reading.decoding import CHUNK, Decoder
from llmtrain_trainer.data.reading.forms import OTHER_JSON
from llmtrain_trainer.data.reading.json_rows import rows_of_json
from llmtrain_trainer.data.reading.limits import evenly, in_order
from llmtrain_trainer.data.reading.record import TakeText
from llmtrain_trainer.data.reading.survey import AGAIN, BROKEN, CARD, HIDDEN, MODEL, OUTPUT, OUTSIDE, SPECIAL
from llmtrain_trainer.data.sources import BUILTIN_BYTES, Text, documents
from llmtrain_trainer.errors import ConfigError

ROWS = "\n".join(json.dumps({"text": f"row {number}"}) for number in range(40))
TEXTS = [f"row {number}" for number in range(40)]
FILLER = json.dumps({"text": "word " * 2000})


def read(folder: Path, limit: int | None = None) -> tuple[list[str], ReadCounts]:
    counts = ReadCounts()
    return list(documents(Text("dataset.name", "pvc://texts/data", folder, limit), counts)), counts


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(folder)
    return str(caught.value)


ENCODED: dict[str, bytes] = {
    "a byte order mark": codecs.BOM_UTF8 + ROWS.encode(),
    "utf-16": ROWS.encode("utf-16"),
    "utf-16 big-endian": codecs.BOM_UTF16_BE + ROWS.encode("utf-16-be"),
    "utf-32": ROWS.encode("utf-32"),
    "blank lines": ("\n \n\r\n" + ROWS.replace("\n", "\r\n\n") + "\n\n").encode(),
    "no last line feed": ROWS.encode(),
    "marks of files that were put together": "\n".join(
        ("\ufeff" if number % 7 == 0 else "") + line for number, line in enumerate(ROWS.split("\n"))
    ).encode(),
}


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("name", ["a.jsonl", "a.JSONL", "a.ndjson", "a.json", "a.jsonl.gz", "A.Json.GZ"])
def test_rows_are_read_however_they_are_saved(tmp_path: Path, kind: str, name: str) -> None:
    data = ENCODED[kind]
    (tmp_path / name).write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)
    texts, counts = read(tmp_path)
    assert texts == TEXTS
    assert counts.report() == {
        "files": 1,
        "bytesRead": (tmp_path / name).stat().st_size,
        "bytesNotRead": 0,
        "replacedCharacters": 0,
    }


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-8"])
@pytest.mark.parametrize("name", ["a.txt", "a.TXT", "a.md", "a.py", "a.txt.gz"])
def test_the_mark_is_no_part_of_a_text(tmp_path: Path, encoding: str, name: str) -> None:
    data = "Ein Café\n".encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert read(tmp_path)[0] == ["Ein Café\n"]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("separator", ["\n", " ", ""])
def test_json_is_an_array_or_one_object_after_another(
    tmp_path: Path, indent: int | None, separator: str
) -> None:
    rows = [{"text": f"row {number}", "more": [1, {"a": "]"}]} for number in range(40)]
    (tmp_path / "array.json").write_text("\n " + json.dumps(rows, indent=indent) + "\n")
    (tmp_path / "objects.json").write_text(separator.join(json.dumps(row, indent=indent) for row in rows))
    assert read(tmp_path)[0] == TEXTS + TEXTS


@given(st.lists(st.text(max_size=20), max_size=8), st.integers(1, 9))
def test_an_array_is_read_the_same_in_pieces_of_any_length(texts: list[str], length: int) -> None:
    for whole in (
        json.dumps([{"text": text} for text in texts], ensure_ascii=False),
        "\n".join(json.dumps({"text": text}, indent=1) for text in texts),
    ):
        chunks = iter([whole[at : at + length] for at in range(0, len(whole), length)])
        assert [row.value for row in rows_of_json(chunks, "a.json", TakeText())] == [
            {"text": text} for text in texts
        ]


BAD_ROWS: dict[str, tuple[str, str]] = {
    "another field": ('{"content": "x", "id": 1}', "it has content, id"),
    "a number": ("3", "it is a number"),
    "an array": ('["x"]', "it is an array"),
    "no text": ('{"text": null}', "its text is null"),
    "no JSON": ("hello", "it is not JSON"),
    "cut short": ('{"text": "x', "it is not JSON"),
    "deeper than can be parsed": ("[" * 100_000, "it is not JSON"),
}


@pytest.mark.parametrize("kind", BAD_ROWS)
@pytest.mark.parametrize("name", ["sub/a.jsonl", "sub/a.json"])
def test_a_row_that_is_none_is_refused_by_file_and_line(tmp_path: Path, kind: str, name: str) -> None:
    row, reason = BAD_ROWS[kind]
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text('{"text": "a"}\n{"text": "b"}\n' + row)
    said = refused(tmp_path)
    assert said.startswith(f"dataset.name pvc://texts/data: {name} line 3 is no object with a text: {reason}")
    assert said.endswith('use {"text": "..."}, or name the column that holds the text in dataset.fields.text')


BAD_BYTES: dict[str, tuple[bytes, str]] = {
    "latin-1": (b'{"text": "caf\xe9 x"}', "caf\ufffd x"),
    "half a pair": (b'{"text": "x \\ud83d"}', "x \ufffd"),
    "halves in the wrong order": (b'{"text": "\\udc00\\ud83d"}', "\ufffd\ufffd"),
    "a pair": (b'{"text": "\\ud83d\\ude00"}', "😀"),
    "U+FFFD itself": ('{"text": "\ufffd"}'.encode(), "\ufffd"),
}


@pytest.mark.parametrize("kind", BAD_BYTES)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_what_is_no_character_is_replaced_and_counted(tmp_path: Path, kind: str, name: str) -> None:
    row, text = BAD_BYTES[kind]
    (tmp_path / name).write_bytes(FILLER.encode() + b"\n" + row)
    texts, counts = read(tmp_path)
    assert texts[1:] == [text]
    expected = 0 if kind in ("a pair", "U+FFFD itself") else text.count("\ufffd")
    assert counts.replaced == expected
    assert bool(counts.first_replaced) == bool(expected)
    if kind == "latin-1":
        assert counts.first_replaced == f"{name} line 2, byte {len(FILLER) + 14}"


GERMAN = "Die Straße führt über die Brücke zum schönen Café, größer als früher.\n"
NO_TEXT: dict[str, tuple[str, bytes, str]] = {
    "latin-1": ("a.txt", (GERMAN * 50).encode("latin-1"), "is not utf-8 text: 450 of its first 3500 bytes"),
    "rows in latin-1": (
        "a.jsonl",
        ('{"text": "é é"}\n' * 9).encode("latin-1"),
        "the first at line 1, byte 10",
    ),
    "utf-16 without a mark": ("a.txt", (GERMAN * 50).encode("utf-16-le"), "are no text"),
    "a picture": ("a.txt", bytes(range(256)) * 40, "are no text"),
    "zero bytes": ("a.txt", bytes(5000), "5000 of its first 5000 bytes are no text, but zero bytes"),
    "a torn gzip file": ("a.txt.gz", gzip.compress(os.urandom(5000))[:3000], "is damaged or cut short"),
    "no gzip file": ("a.jsonl.gz", ROWS.encode(), "is damaged or cut short"),
}


@pytest.mark.parametrize("kind", NO_TEXT)
def test_a_file_that_is_no_text_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    name, data, reason = NO_TEXT[kind]
    (tmp_path / name).write_bytes(data)
    said = refused(tmp_path)
    assert said.startswith(f"dataset.name pvc://texts/data: {name} ")
    assert reason in said


def test_many_files_with_a_few_bad_bytes_each_are_refused_together(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"{number}.txt").write_bytes(b"\xe9\xe8 a")
    assert "18 characters in 36 bytes are no text, the first in 0.txt line 1, byte 0" in refused(tmp_path)


@given(st.text(max_size=60), st.lists(st.binary(max_size=3), max_size=4), st.integers(1, 7))
def test_bytes_are_decoded_the_same_in_chunks_of_any_length(text: str, bad: list[bytes], length: int) -> None:
    data = text.encode() + b"".join(b"\xff" + one for one in bad)
    assume(not data.startswith(codecs.BOM_UTF16_LE))  # its mark says that it is another encoding

    class Stream:
        at = 0

        def read(self, _: int) -> bytes:
            self.at += length
            return data[self.at - length : self.at]

    decoder = Decoder("a.txt")
    decoder._require_text = lambda: None  # type: ignore[method-assign]
    start = 3 if data.startswith(codecs.BOM_UTF8) and length >= 3 else 0
    assert "".join(decoder.chunks(Stream())) == data[start:].decode("utf-8", "replace")  # type: ignore[arg-type]
    assert decoder.replaced == data.decode("utf-8", "replace").count("\ufffd") - text.count("\ufffd")


def test_a_character_may_lie_over_two_chunks(tmp_path: Path) -> None:
    text = "a" * (CHUNK - 1) + "é" + "b" * 10
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}, ensure_ascii=False))
    assert read(tmp_path)[0] == [text]


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ROWS if "json" in name else name)


@pytest.mark.parametrize(
    "name", ["a.arrow", "x/A.ORC", "a.parquet.gz", "a.jsonl.lz4", "a.arrow.zst", "a.json.br"]
)
def test_data_in_a_form_that_is_not_read_are_refused(tmp_path: Path, name: str) -> None:
    made(tmp_path, "README.md", "a.txt", "b.jsonl")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"PAR1")
    assert f"1 file(s) hold data in a form that is not read, such as {name}" in refused(tmp_path)


@pytest.mark.parametrize(
    "name", ["a.xlsx", "a.zip", "a.tar.gz", "b/a.npy", "a.gz", "a.txt.gz.gz", "A.BIN.BZ2", "a.xz", "a.zst"]
)
def test_a_card_is_never_all_that_is_trained_on(tmp_path: Path, name: str) -> None:
    made(tmp_path, "card.md", "notes.md")
    assert len(read(tmp_path)[0]) == 2
    made(tmp_path, name)
    assert "has nothing to read but what describes it (card.md)" in refused(tmp_path)
    made(tmp_path, "input.txt")
    texts, counts = read(tmp_path)
    assert texts == ["card.md", "input.txt", "notes.md"]
    assert sum(counts.skipped.values()) == 1


def test_a_readme_beside_files_that_are_not_read_is_no_data(tmp_path: Path) -> None:
    made(tmp_path, "README.md", "model.xyz")
    assert "form that is not read: .xyz (such as model.xyz)" in refused(tmp_path)


def test_markdown_beside_rows_is_left_out_and_settings_are_no_rows(tmp_path: Path) -> None:
    made(tmp_path, "a.jsonl", "README.md", "docs/b.md", "c.txt")
    (tmp_path / "dataset_infos.json").write_text('{"default": {"features": {}}}')
    texts, counts = read(tmp_path)
    assert texts == [*TEXTS, "c.txt"]
    assert counts.skipped == {CARD: 2, OTHER_JSON: 1}


def test_nothing_to_read_says_what_is_there(tmp_path: Path) -> None:
    made(tmp_path, ".hidden.txt", "a.png")
    assert refused(tmp_path) == (
        "dataset.name pvc://texts/data has no file ending in .txt, .py, .md, .jsonl, .ndjson, .json, .csv, "
        ".tsv, .parquet (also with .gz, .zst, .bz2 or .xz); not read: 1 x form that is not read: .png (such "
        "as a.png), 1 x hidden (such as .hidden.txt); add some text, or correct the name"
    )


def test_outputs_models_and_hidden_folders_are_no_dataset(tmp_path: Path) -> None:
    made(tmp_path, "a.txt", ".git/b.txt", "lost+found/c.txt", "runs/first/OWNER", "runs/first/logs/m.jsonl")
    made(tmp_path, "model/config.json", "model/model.safetensors", "model/tokenizer.json", "runs/d.txt")
    texts, counts = read(tmp_path)
    assert texts == ["a.txt", "runs/d.txt"]
    assert counts.skipped == {HIDDEN: 2, OUTPUT: 1, MODEL: 1}
    assert "is the output folder of a job" in refused(tmp_path / "runs" / "first")


def test_links_are_followed_inside_of_the_folder_only(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "data"
    made(folder, ".versions/1/a.txt", "b.txt", "run/OWNER", "run/x.txt")
    for name, target in {
        "a.txt": ".versions/1/a.txt",  # as Kubernetes lays a ConfigMap
        "again.txt": "b.txt",
        "environ.txt": "/proc/self/environ",
        "outside.txt": "../secret.txt",
        "above": "..",
        "self": ".",
        "loop": "loop",
        "gone.txt": "nothing",
        "results": "run",
    }.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.txt")
    texts, counts = read(folder)
    assert texts == [".versions/1/a.txt", "b.txt"]
    assert counts.skipped == {AGAIN: 2, OUTSIDE: 3, BROKEN: 2, OUTPUT: 2, SPECIAL: 1, HIDDEN: 1}


def test_a_link_to_a_folder_that_is_not_read_otherwise_is_followed(tmp_path: Path) -> None:
    made(tmp_path, ".store/a/1.txt", ".store/a/2.txt")
    (tmp_path / "current").symlink_to(".store/a")
    (tmp_path / ".store" / "a" / "up").symlink_to("../..")
    assert len(read(tmp_path)[0]) == 2


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(tmp_path, "a.txt", "closed/b.txt")
    scandir = os.scandir

    def denied(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert "the folder closed cannot be read: Permission denied" in refused(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_that_may_not_be_read_is_named_and_a_sick_disk_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    made(tmp_path, "a.txt")

    def broken(*_: object) -> object:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", broken)
    if number == errno.EACCES:
        assert "a.txt cannot be read: Permission denied; let the trainer's user" in refused(tmp_path)
    else:
        with pytest.raises(OSError, match=os.strerror(number)):
            read(tmp_path)


PARAGRAPHS = "\n\n".join(f"Page {number}. " + f"line {number}\n" * 20 for number in range(4000))


def test_one_text_file_is_many_documents_that_are_the_text(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text(PARAGRAPHS)
    texts, _ = read(tmp_path)
    assert "".join(texts) == PARAGRAPHS
    assert len(texts) >= 200
    assert all(text.startswith("Page") for text in texts)


def test_small_files_are_one_document_each(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.txt").write_text(PARAGRAPHS[: SMALLEST - 1])
    assert len(read(tmp_path)[0]) == 300


@given(
    st.lists(st.sampled_from(["word", " ", "\n", "\n\n", "\n \n", "longer-than-a-block", "é"]), max_size=60),
    st.integers(1, 15),
    st.integers(1, 9),
)
def test_blocks_are_the_text_and_none_is_too_long(parts: list[str], length: int, chunk: int) -> None:
    text = "".join(parts)
    found = list(blocks((text[at : at + chunk] for at in range(0, len(text), chunk)), length))
    assert "".join(found) == text
    assert all(0 < len(block) <= length for block in found)
    assert found == list(blocks(iter([text] if text else []), length))


@pytest.mark.parametrize(
    ("total", "length"), [(0, 4096), (1 << 20, 4096), (4 << 20, 1 << 14), (1 << 40, 1 << 16)]
)
def test_blocks_grow_with_the_text(total: int, length: int) -> None:
    assert block_length(total) == length


@given(st.lists(st.integers(0, 1000), max_size=30), st.integers(0, 8000))
def test_a_limit_is_shared_evenly(sizes: list[int], limit: int) -> None:
    given_ = evenly(sizes, limit)
    assert sum(given_) <= limit
    assert sum(given_) > min(limit, sum(sizes)) - max(1, len(sizes))
    level = max(given_, default=0)
    assert all(one in (size, level) for one, size in zip(given_, sizes, strict=True))
    assert evenly(sizes, None) == in_order(sizes, None) == sizes
    assert sum(in_order(sizes, limit)) == min(limit, sum(sizes))


def test_one_large_file_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PARAGRAPHS)
    for number in range(40):
        (tmp_path / f"page-{number}.txt").write_text(f"page {number} " * 20)
    limit = len(PARAGRAPHS) // 2
    texts, counts = read(tmp_path, limit)
    assert sum(text.startswith("page") for text in texts) == 40
    taken = sum(len(text.encode()) for text in texts)
    assert 0.95 * limit < taken <= limit
    assert counts.files_cut == 1
    assert counts.bytes_read == pytest.approx(taken, rel=0.01)
    assert counts.bytes_read + counts.bytes_not_read == counts.bytes_total


def test_one_long_row_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "long " * 10_000}) + "\n" + ROWS)
    texts, counts = read(tmp_path, 20_000)
    assert texts == TEXTS
    assert counts.bytes_not_read == pytest.approx(50_000, rel=0.01)


@pytest.mark.parametrize("packed", [False, True])
def test_what_a_limit_cuts_is_counted(tmp_path: Path, packed: bool) -> None:
    data = (FILLER + "\n").encode() * 400
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(data) if packed else data)
    texts, counts = read(tmp_path, 1_000_000)
    assert len(texts) == 100
    assert counts.files_cut == 1
    assert counts.bytes_not_read == pytest.approx(0.75 * path.stat().st_size, rel=0.3 if packed else 0.05)


@pytest.mark.parametrize("limit", [None, 10_000_000])
def test_nothing_is_cut_without_need(tmp_path: Path, limit: int | None) -> None:
    (tmp_path / "a.txt").write_text(PARAGRAPHS)
    (tmp_path / "b.jsonl").write_text(ROWS)
    texts, counts = read(tmp_path, limit)
    assert len("".join(texts)) == len(PARAGRAPHS) + len("".join(TEXTS))
    assert (counts.files_cut, counts.bytes_not_read, counts.files) == (0, 0, 2)


def test_progress_comes_to_the_size_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PARAGRAPHS)
    (tmp_path / "b.jsonl").write_text(ROWS)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(ROWS.encode()))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    for limit in (None, 50_000):
        passed: list[int] = []
        source = Text("dataset.name", "pvc://texts/data", tmp_path, limit)
        assert list(documents(source, None, passed.append))
        assert sum(passed) == size


def test_the_library_has_a_limit_of_its_own() -> None:
    built_in = Text("dataset.name", "builtin://python-stdlib", Path("unused"), None)
    assert built_in.limit == BUILTIN_BYTES
    counts = ReadCounts()
    size = sum(len(text.encode()) for text in documents(built_in, counts))
    assert 0.95 * BUILTIN_BYTES < size <= BUILTIN_BYTES
    assert counts.bytes_not_read > 0


def test_a_name_of_a_file_moves_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[2J\n\u202eb.jsonl").write_text("[]")
    told = refused(tmp_path)
    assert "a\\x1b[2J\\n\\u202eb.jsonl line 1" in told
    assert told.isprintable()


def test_reading_twice_is_the_same(tmp_path: Path) -> None:
    made(tmp_path, "b/1.txt", "a.jsonl", "b.txt", "a/2.txt", "A.txt")
    assert read(tmp_path) == read(tmp_path)
